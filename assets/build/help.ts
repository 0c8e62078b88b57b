// Owns the help: each Markdown file of src/help becomes a component, and all of them one index.
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Token, Marked, type Tokens } from 'marked';
import type { PreprocessorGroup } from 'svelte/compiler';
import type { Plugin } from 'vite';

const INDEX = 'virtual:help';
/** In this order; a file that is missing here, or the other way round, is a mistake. */
const ORDER = ['first-steps', 'import', 'roles', 'audit', 'keys', 'backup', 'nodes', 'updates', 'metrics', 'doctor'];

const slug = (text: string) =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
const plain = (html: string) =>
  html
    .replace(/<[^>]+>/g, '')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');

/** A box that scrolls must be reachable by keyboard. */
const SCROLLS = '<!-- svelte-ignore a11y_no_noninteractive_tabindex -->\n';

const marked = new Marked({
  renderer: {
    heading({ tokens, depth, text }) {
      // The page has the title already.
      return depth === 1 ? '' : `<h${depth} id="${slug(text)}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
    },
    code({ text }) {
      const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
      return `${SCROLLS}<pre tabindex="0" role="region" aria-label="Command">${escaped}</pre>\n`;
    },
    table({ header, rows }) {
      const line = (cells: Tokens.TableCell[], tag: string) =>
        `<tr>${cells.map((cell) => `<${tag}>${this.parser.parseInline(cell.tokens)}</${tag}>`).join('')}</tr>`;
      const body = rows.map((row) => line(row, 'td')).join('');
      return `${SCROLLS}<div class="scroll" tabindex="0" role="region" aria-label="Table"><table><thead>${line(header, 'th')}</thead><tbody>${body}</tbody></table></div>\n`;
    },
  },
});

export function help(): Plugin {
  const folder = join(import.meta.dirname, '../src/help');
  return {
    name: 'palisade-help',
    resolveId: (id) => (id === INDEX ? `\0${INDEX}` : undefined),
    load(id) {
      if (id !== `\0${INDEX}`) return;
      const there = readdirSync(folder).map((file) => basename(file, '.md'));
      if (there.toSorted().join() !== ORDER.toSorted().join()) throw new Error(`build/help.ts and ${folder} differ`);
      const topics = ORDER.map((name) => {
        const file = join(folder, `${name}.md`);
        this.addWatchFile(file);
        return { name, ...outline(readFileSync(file, 'utf8')) };
      });
      return `export default ${JSON.stringify(topics)}`;
    },
  };
}

/** A template of Svelte, so that no page has to put text into itself as HTML, which our security policy forbids. */
export const markdown: PreprocessorGroup = {
  markup({ content, filename }) {
    if (!filename?.endsWith('.md')) return;
    // A region of the page needs a name of its own.
    let count = 0;
    const html = marked
      .parse(content, { async: false })
      .replace(/aria-label="(Table|Command)"/g, (_, kind: string) => `aria-label="${kind} ${(count += 1)}"`);
    const code = html.replace(/[{}]/g, (brace) => `&#${brace.charCodeAt(0)};`);
    return { code };
  },
};

/** The title and the headings below it, for lists and for the search. */
function outline(text: string) {
  const headings = marked.lexer(text).filter((token: Token): token is Tokens.Heading => token.type === 'heading');
  const read = (heading: Tokens.Heading) => plain(marked.parseInline(heading.text, { async: false }));
  return {
    title: read(headings[0]!),
    sections: headings.slice(1).map((heading) => ({ id: slug(heading.text), text: read(heading) })),
  };
}
