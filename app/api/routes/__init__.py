"""The routes, one router per file, in reading order."""
