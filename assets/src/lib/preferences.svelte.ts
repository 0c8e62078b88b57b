// Owns what the user chose for this browser: theme, density, single-key shortcuts.

export type Theme = 'auto' | 'light' | 'dark';
export type Density = 'compact' | 'comfortable';

function stored(name: string, fallback: string): string {
  try {
    return localStorage.getItem(`palisade.${name}`) ?? fallback;
  } catch {
    return fallback;
  }
}

function store(name: string, value: string): void {
  try {
    localStorage.setItem(`palisade.${name}`, value);
  } catch {
    // A browser that keeps nothing still shows the choice until the page closes.
  }
}

class Preferences {
  theme = $state(stored('theme', 'auto') as Theme);
  density = $state(stored('density', 'compact') as Density);
  shortcuts = $state(stored('shortcuts', 'on') === 'on');

  constructor() {
    this.#show();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    store('theme', theme);
    this.#show();
  }

  setDensity(density: Density): void {
    this.density = density;
    store('density', density);
    this.#show();
  }

  setShortcuts(on: boolean): void {
    this.shortcuts = on;
    store('shortcuts', on ? 'on' : 'off');
  }

  #show(): void {
    const root = document.documentElement;
    root.dataset.theme = this.theme;
    root.dataset.density = this.density;
  }
}

export const preferences = new Preferences();
