import {z} from 'zod';
import {parseNamePattern, parseTagPattern} from '../../oci/name-pattern.ts';
import {parseRegistry} from '../../oci/reference.ts';
import {duration, parsed, size, strict} from '../../proc/config/schema-parts.ts';

const MAX_PATTERNS = 100;

function patterns(expected: string, parse: (text: string) => unknown, description: string, shown: readonly string[]) {
  const one = parsed(
    expected,
    (text) => {
      parse(text);
      return text;
    },
    {description: 'A pattern'},
  );
  return z
    .array(one, {error: 'expected a list of patterns'})
    .max(MAX_PATTERNS, `expected ${String(MAX_PATTERNS)} at most`)
    .meta({description, shown});
}

/** The key `hosted`. */
export const hostedSchema = strict(
  {
    names: patterns(
      'a pattern of repositories such as team/** or "**"',
      parseNamePattern,
      'Which repositories of the direct listeners are ours: `*` is a part of one component, `**` any number of components. The others are proxied from the upstream that their name begins with, or unknown',
      ['**'],
    ).optional(),
    host: parsed('a registry such as registry.example.com', parseRegistry, {
      description:
        'The name that clients and runtimes know this registry by, as in `registry.example.com/team/app`: runtime listeners serve hosted images under it, and tokens are for it',
      examples: ['registry.example.com'],
    }).optional(),
    immutableTags: patterns(
      'a pattern of repositories and tags such as release/**:v*',
      parseTagPattern,
      'Tags that can be made but not moved or deleted, as `repository:tag`, both with `*` and the repository with `**`',
      [],
    ).optional(),
    maxManifestSize: size({description: 'The largest manifest that is taken', shown: '4MiB'}).optional(),
    maxBlobSize: size({description: 'The largest blob that is taken', shown: '16GiB'}).optional(),
    uploadExpiry: duration({
      description: 'An upload on which nothing happened for so long is dropped',
      shown: '1d',
    }).optional(),
  },
  'Images that are pushed to the direct listeners and kept here',
);
