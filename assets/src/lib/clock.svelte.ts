// Owns the ticking of relative times: one timer for the whole page.
import { serverNow } from './api/client.ts';

class Clock {
  now = $state(serverNow());
  constructor() {
    setInterval(() => (this.now = serverNow()), 5_000);
  }
}

export const clock = new Clock();
