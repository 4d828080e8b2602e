"""The defects that are planted into the domain, and the list of those that change nothing."""

from __future__ import annotations

from pathlib import Path

from app.lab.mutants import mutants
from app.lab.survivors import ARGUED, DOMAIN, argued

SOURCE = """
'''A docstring is left alone.'''
LIMIT: int = 3
NAMES = {"a": ("b", True)}

@lru_cache(maxsize=10)
def read(value: int | None, word: str = "x") -> str:
    assert value is not None
    if value < LIMIT and not word:
        word += f"{value}!"
    found = word
    found = [one for one in found if one == ""]
    match found:
        case []:
            raise ValueError
    return found[0]
"""
DEFECTS = {
    ("LIMIT: int = 3", "LIMIT: int = 4"),
    ("NAMES = {'a': ('b', True)}", "NAMES = {'': ('b', True)}"),
    ("NAMES = {'a': ('b', True)}", "NAMES = {'a': ('', True)}"),
    ("NAMES = {'a': ('b', True)}", "NAMES = {'a': ('b', False)}"),
    ("def read(value: int | None, word: str='x') -> str:", "def read(value: int | None, word: str='') -> str:"),
    ("if value < LIMIT and (not word):", "if False:"),
    ("if value < LIMIT and (not word):", "if True:"),
    ("if value < LIMIT and (not word):", "if value < LIMIT or not word:"),
    ("if value < LIMIT and (not word):", "if value <= LIMIT and (not word):"),
    ("if value < LIMIT and (not word):", "if value < LIMIT and word:"),
    ("word += f'{value}!'", "pass"),
    ("word += f'{value}!'", "word -= f'{value}!'"),
    ("word += f'{value}!'", "word += ''"),
    ("found = [one for one in found if one == '']", "pass"),
    ("found = [one for one in found if one == '']", "found = [one for one in found if False]"),
    ("found = [one for one in found if one == '']", "found = [one for one in found if True]"),
    ("found = [one for one in found if one == '']", "found = [one for one in found if one != '']"),
    ("found = [one for one in found if one == '']", "found = [one for one in found if one == 'mutant']"),
    ("case []:", "case [] if False:"),
    ("raise ValueError", "pass"),
    ("return found[0]", "return None"),
    ("return found[0]", "return found[1]"),
}


def test_each_kind_of_defect_is_planted_once_and_the_tree_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE, encoding="utf-8")
    found = [(mutant.before, mutant.after) for mutant in mutants(path)]

    assert set(found) == DEFECTS
    assert len(found) == len(DEFECTS)


def test_a_defect_is_known_by_where_it_is_and_not_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("class A:\n    def read(self):\n        return self.x\n", encoding="utf-8")
    (mutant,) = mutants(path)

    assert (mutant.key, mutant.line) == ("module.A.read: return self.x -> return None", 3)


def test_a_defect_in_a_long_table_is_shown_by_the_words_around_it(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"TABLE = ({'None, ' * 60}7{', None' * 60})\n", encoding="utf-8")
    (mutant,) = mutants(path)

    assert "None, 7, None" in mutant.before
    assert "None, 8, None" in mutant.after
    assert len(mutant.before) == 100


def test_every_argued_mutant_exists_and_has_a_reason() -> None:
    listed = argued(ARGUED.read_text(encoding="utf-8"))
    there_are = {mutant.key for path in DOMAIN.glob("*.py") for mutant in mutants(path)}

    assert set(listed) - there_are == set()
    assert [key for key, reason in listed.items() if not reason] == []
