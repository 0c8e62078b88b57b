// Svelte's compiler options: runes only, no CSS injected from scripts.
export default {
  compilerOptions: { runes: true, css: 'external' },
};
