import {z} from 'zod';

/** As much of JSON Schema as ours consists of. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly required?: readonly string[];
}

/** The JSON Schema of a configuration file, with descriptions and defaults: what docs/ publishes. */
export function newJsonSchema(title: string, configSchema: z.ZodType): JsonSchema {
  const schema = z.toJSONSchema(configSchema, {
    io: 'input',
    override: ({jsonSchema}) => {
      // zod leaves `default` out where a value is transformed, so the schema says it under a name of its own.
      if (!('shown' in jsonSchema)) return;
      jsonSchema.default = jsonSchema['shown'] as typeof jsonSchema.default;
      delete jsonSchema['shown'];
    },
  });
  return {title, ...schema} as JsonSchema; // zod's own type allows `true` where ours never has it
}
