// Owns how the mock refuses: one throwable with a status and a code.
export class Refusal extends Error {
  constructor(
    status,
    code,
    detail,
    { hint = null, fields = [], retryAfter = null } = {},
  ) {
    super(detail);
    Object.assign(this, { status, code, detail, hint, fields, retryAfter });
  }
}

export function refuse(...reason) {
  throw new Refusal(...reason);
}

export const invalid = (field, message) =>
  refuse(422, "invalid", "Something is not right with the input.", {
    fields: [{ field, message }],
  });
