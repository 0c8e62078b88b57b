// Owns the check of a new password against the policy, for live feedback only.
import type { PasswordRules } from './api/types.ts';

export interface Rule {
  text: string;
  met: boolean;
}

export function passwordRules(password: string, repeated: string, policy: PasswordRules, email: string): Rule[] {
  const length = [...password].length;
  const lower = password.toLowerCase();
  const account = email.split('@')[0]?.toLowerCase() ?? '';
  const banned = [
    ...(policy.blockList ?? []).map((word) => word.toLowerCase()),
    ...(account.length > 3 ? [account] : []),
  ];
  const rules: Rule[] = [
    { text: `At least ${policy.minLength} characters (${length} now)`, met: length >= policy.minLength },
  ];
  if (policy.requireUpper) rules.push({ text: 'An upper-case letter', met: /\p{Lu}/u.test(password) });
  if (policy.requireLower) rules.push({ text: 'A lower-case letter', met: /\p{Ll}/u.test(password) });
  if (policy.requireDigit) rules.push({ text: 'A digit', met: /\p{Nd}/u.test(password) });
  if (policy.requireSymbol) rules.push({ text: 'A symbol', met: /[^\p{L}\p{Nd}\s]/u.test(password) });
  rules.push({
    text: 'Without the e-mail name or a blocked word',
    met: length > 0 && !banned.some((word) => word && lower.includes(word)),
  });
  rules.push({ text: 'The same twice', met: length > 0 && password === repeated });
  return rules;
}

export const meets = (rules: Rule[]): boolean => rules.every((rule) => rule.met);
