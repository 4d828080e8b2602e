// What a frontend does, with a client generated from the document: every answer's type comes from there.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[]; exitCode: number };
type Lead = components["schemas"]["Lead"];
type Problem = components["schemas"]["ProblemDetails"];

const [baseUrl, key] = process.argv.slice(2);
if (!baseUrl || !key) throw new Error("check.js takes the service's address and a key.");
const api = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });

function holds(claim: string, value: boolean): void {
  if (!value) throw new Error(`It does not hold: ${claim}.`);
  console.log(`  ${claim}`);
}

function given<T>(answer: { data?: T; error?: Problem | undefined }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail ?? "There is no answer.");
  return answer.data;
}

const made = await api.POST("/api/leads", { body: { email: "noor@voorbeeld.nl", full_name: "Noor de Vries" } });
const lead: Lead = given(made);
holds("a lead is created", made.response.status === 201 && lead.version === 1);

const again = await api.POST("/api/leads", { body: { email: "noor@voorbeeld.nl" } });
holds("the same address again is a conflict, with a sentence", again.response.status === 409 && !!again.error?.detail);

const page = given(await api.GET("/api/leads", { params: { query: { status: "new", sort: "-updated_at", limit: 1 } } }));
holds("the list shows it", page.items[0]?.id === lead.id && page.next_cursor === null);

const path = { lead_id: lead.id };
const etag = made.response.headers.get("ETag") ?? "";
const changed = await api.PATCH("/api/leads/{lead_id}", {
  params: { path, header: { "If-Match": etag } },
  body: { title: "Hoofd inkoop", next_action: null, custom: { stand: "B12" } },
});
holds("a change moves its version", given(changed).version === 2);

const late = await api.PATCH("/api/leads/{lead_id}", {
  params: { path, header: { "If-Match": etag } },
  body: { title: "Directeur" },
});
holds("a lost update is told", late.response.status === 412 && late.error?.status === 412);

const claimed = given(await api.POST("/api/leads/{lead_id}/claim", { params: { path }, body: {} }));
holds("a claim shows who holds it", claimed.claimed_by === "noor@team.test");

given(await api.POST("/api/leads/{lead_id}/notes", { params: { path }, body: { text: "Belde terug." } }));
const told = given(await api.GET("/api/leads/{lead_id}/history", { params: { path } }));
holds("the history has every step", told.items.length === 4);

const wrong = await api.GET("/api/leads", { params: { query: { limit: 1000 } } });
holds("what is wrong is named", wrong.error?.errors[0]?.parameter === "limit");

const gone = await api.DELETE("/api/leads/{lead_id}", { params: { path } });
const missing = await api.GET("/api/leads/{lead_id}", { params: { path } });
holds("a deleted lead is not there", gone.response.status === 204 && missing.response.status === 404);

// Never called: it is here not to compile.
// @ts-expect-error: the document says what each field takes
export const refused = () => api.POST("/api/leads", { body: { verified: "yes" } });
