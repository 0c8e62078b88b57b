// Owns the short messages at the bottom of the page.

export interface Toast {
  id: number;
  kind: 'good' | 'bad';
  text: string;
}

class Toasts {
  items = $state<Toast[]>([]);
  #id = 0;

  show(text: string, kind: Toast['kind'] = 'good'): void {
    const id = ++this.#id;
    this.items.push({ id, kind, text });
    setTimeout(() => this.close(id), kind === 'good' ? 6_000 : 15_000);
  }

  close(id: number): void {
    this.items = this.items.filter((item) => item.id !== id);
  }
}

export const toasts = new Toasts();
