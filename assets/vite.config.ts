// How the interface is built: hashed files in dist/, each text file also as .br and .gz.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { compress } from './build/compress.ts';
import { help, markdown } from './build/help.ts';
import { iconSprite } from './build/icons.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [svelte({ extensions: ['.svelte', '.md'], preprocess: [markdown] }), iconSprite(), help(), compress()],
  resolve: { alias: { $lib: here('./src/lib'), $components: here('./src/components') } },
  build: {
    target: 'es2023',
    modulePreload: { polyfill: false },
    // A data: URL would need a wider content security policy than we send.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        // Two shared files instead of forty small ones; pages and charts stay chunks of their own.
        codeSplitting: {
          groups: [
            { name: 'svelte', test: /node_modules.svelte/ },
            { name: 'common', test: /src.(components|lib)./ },
          ],
        },
      },
    },
  },
});
