// Owns the state of one form: busy, what the server refused, which field says what.
import { Problem, asProblem } from './api/client.ts';

export class Form {
  busy = $state(false);
  problem = $state<Problem | null>(null);
  /** Fields on the screen; what is said about any other goes to the top of the form. */
  readonly known = new Set<string>();

  /** Runs the work; true when it succeeded. Errors stay here until the next try. */
  async submit(work: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    try {
      await work();
      this.problem = null;
      return true;
    } catch (error) {
      this.problem = asProblem(error);
      return false;
    } finally {
      this.busy = false;
    }
  }

  refuse(fields: Record<string, string>): boolean {
    const refused = Object.entries(fields).filter(([, message]) => message);
    if (refused.length === 0) return false;
    this.problem = new Problem({
      code: 'invalid',
      status: 422,
      detail: 'Correct the marked fields.',
      fields: refused.map(([field, message]) => ({ field, message })),
    });
    return true;
  }

  error(field: string): string | null {
    return this.problem?.fields.find((entry) => entry.field === field)?.message ?? null;
  }

  /** What was said about a field ends when the field is edited. */
  clear(field: string): void {
    if (this.error(field) === null) return;
    const fields = this.problem!.fields.filter((entry) => entry.field !== field);
    this.problem = fields.length ? new Problem({ ...this.problem!, fields, detail: this.problem!.detail }) : null;
  }
}
