// Owns how numbers, sizes and times read.

const count = new Intl.NumberFormat('en-US');
const one = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });

export const number = (value: number): string => count.format(value);
export const plural = (value: number, word: string, many = `${word}s`): string =>
  `${number(value)} ${value === 1 ? word : many}`;

export function bytes(value: number | null): string {
  if (value === null) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${one.format(size)} ${units[unit]}`;
}

export const cores = (millis: number | null): string => (millis === null ? '–' : `${one.format(millis / 1000)} cores`);
export const percent = (part: number | null, whole: number): string =>
  part === null || whole === 0 ? '–' : `${Math.round((part / whole) * 100)} %`;

/** 2026-11-22 05:43:14 in the browser's zone. */
export function dateTime(time: string | number): string {
  const date = new Date(time);
  return `${day(date)} ${clock(date)}`;
}

export function day(time: string | number | Date): string {
  const date = new Date(time);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

const clock = (date: Date): string => `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
const two = (value: number): string => String(value).padStart(2, '0');

/** "3 min ago", "in 4 days". */
export function relative(time: string, now: number): string {
  const seconds = Math.round((Date.parse(time) - now) / 1000);
  const size = Math.abs(seconds);
  if (size < 5) return 'just now';
  const text = duration(size);
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

/** The largest unit only: "45 s", "12 min", "5 h", "3 days". */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return plural(Math.round(seconds / 86_400), 'day');
}

export const countdown = (seconds: number): string => `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
export const zone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;
/** With a capital letter; nothing at all is a dash. */
export const sentence = (text: string): string => (text ? text.charAt(0).toUpperCase() + text.slice(1) : '–');
/** "apiKey" and "api-key" read "API key". */
export function words(name: string): string {
  const text = name
    .replace(/([a-z])([A-Z])/g, (_, before: string, after: string) => `${before} ${after.toLowerCase()}`)
    .replace(/[-_]/g, ' ');
  return sentence(text).replace(/^Api\b/, 'API');
}
