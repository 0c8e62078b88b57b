// Owns what TypeScript must know about modules that Vite makes.
/// <reference types="svelte" />
/// <reference types="vite/client" />
declare module 'virtual:icons' {
  const url: string;
  export default url;
}
declare module 'virtual:help' {
  const topics: { name: string; title: string; sections: { id: string; text: string }[] }[];
  export default topics;
}
declare module '*.md' {
  import type { Component } from 'svelte';
  const text: Component;
  export default text;
}
