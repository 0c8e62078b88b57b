// Owns asking again for what takes the appliance longer than one request may.
import { asProblem } from './api/client.ts';

const TRIES = 12;

export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      const problem = asProblem(error);
      if (problem.code !== 'still-looking' || tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, (problem.retryAfter ?? 1) * 1_000));
    }
  }
}
