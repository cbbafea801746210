import {z} from 'zod';
import {didYouMean} from '../nearest.ts';
import {parseAddress} from './address.ts';
import {parseDuration} from './duration.ts';
import {parseSize} from './size.ts';

/** What a key says of itself: for `--help`, the reference in docs/ and the JSON Schema. */
export interface About {
  readonly description: string;
  /** As one would write it. Applied where the configuration is built, not here: a flag must not be beaten by a file's default. */
  readonly shown?: unknown;
  readonly examples?: readonly unknown[];
}

/** A text with a grammar. Its failures all read `expected …`. */
export function parsed<T>(expected: string, parse: (text: string) => T, about: About) {
  return z
    .string({error: `expected ${expected}`})
    .transform((text, context): T => {
      try {
        return parse(text);
      } catch {
        context.issues.push({code: 'custom', message: `expected ${expected}`, input: text});
        return z.NEVER;
      }
    })
    .meta({...about});
}

/** An object that has no other keys; an unknown one is told with what was probably meant. */
export function strict<Shape extends z.core.$ZodShape>(shape: Shape, description: string) {
  return z
    .strictObject(shape, {
      error: (issue) => {
        if (issue.code !== 'unrecognized_keys') return 'expected an object (key: value)';
        return (issue.keys as string[]).map((key) => `unknown key${didYouMean(key, Object.keys(shape))}`).join('\n');
      },
    })
    .meta({description});
}

export const duration = (about: About) => parsed('a duration such as 30s, 5m, 12h or 30d', parseDuration, about);

export const flag = (about: About) =>
  z.boolean({error: 'expected true or false'}).meta({...about, shown: about.shown ?? false});

export const file = (description: string) =>
  z.string({error: 'expected the path of a file'}).min(1, 'expected the path of a file').meta({description});

export const address = (about: About) => parsed('an address such as 127.0.0.1:5055 or [::1]:5055', parseAddress, about);

/** A whole number within bounds, both included. */
export function wholeNumber(min: number, max: number, about: About) {
  const expected = `expected a whole number from ${String(min)} to ${String(max)}`;
  return z
    .int({error: expected})
    .min(min, expected)
    .max(max, expected)
    .meta({...about});
}

const SIZE = 'a size such as 50GiB, 5GB or 1024';
/** A size as text or as a number of bytes. */
export const size = (about: About) =>
  z
    .union([z.string(), z.number()], {error: `expected ${SIZE}`})
    .transform((value, context): number => {
      try {
        const bytes = parseSize(String(value));
        if (bytes > 0) return bytes;
      } catch {
        // said below
      }
      context.issues.push({code: 'custom', message: `expected ${SIZE}, more than 0`, input: value});
      return z.NEVER;
    })
    .meta({...about});

/** Bytes, or a share in 0…1. */
function parseSpace(text: string): {readonly bytes: number} | {readonly share: number} {
  const [, percent] = /^(\d{1,2}(?:\.\d{1,3})?) ?%$/.exec(text) ?? [];
  return percent === undefined ? {bytes: parseSize(text)} : {share: Number(percent) / 100};
}

/** A size, or a share such as `20%`. */
export const space = (about: About) =>
  z
    .union([z.string(), z.number()], {error: `expected a share such as 20% or ${SIZE}`})
    .transform((value, context) => {
      try {
        return parseSpace(String(value));
      } catch {
        context.issues.push({code: 'custom', message: `expected a share from 0% to 99% or ${SIZE}`, input: value});
        return z.NEVER;
      }
    })
    .meta({...about});

/** `log`, as every process has it. */
export const logSection = strict(
  {
    level: z
      .enum(['debug', 'info', 'warn', 'error'], {error: 'expected debug, info, warn or error'})
      .meta({description: 'The least that is logged', shown: 'info'})
      .optional(),
    format: z
      .enum(['json', 'text', 'auto'], {error: 'expected json, text or auto'})
      .meta({description: '`auto`: text on a terminal, JSON otherwise', shown: 'auto'})
      .optional(),
  },
  'Logs, on standard output',
);
