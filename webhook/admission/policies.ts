import {isDeepStrictEqual} from 'node:util';
import {validatePolicyObject} from '../policy/validate.ts';
import type {ReviewContext} from './context.ts';
import {allow, type Decision} from './decision.ts';
import type {AdmissionRequest, JsonObject} from './review.ts';

const MAX_ISSUES = 20;

/** Refuses policies and exceptions that would not do what they say, with the field and what to write. */
export function policies(request: AdmissionRequest, {id}: Pick<ReviewContext, 'id'>): Decision {
  const {operation, object, oldObject, kind, name} = request;
  if ((operation !== 'CREATE' && operation !== 'UPDATE') || object === undefined) return allow('policies', 'unchanged');
  // What is there can be deleted, labelled and given a status, whatever is wrong with it.
  if (operation === 'UPDATE' && isDeepStrictEqual(object['spec'], oldObject?.['spec']))
    return allow('policies', 'unchanged');
  const issues = validatePolicyObject(object);
  if (issues.length === 0) return allow('policies', 'valid');
  const lines = issues.slice(0, MAX_ISSUES).map(({path, message}) => `  ${path}: ${message}`);
  if (issues.length > lines.length) lines.push(`  and ${String(issues.length - lines.length)} more`);
  const count = issues.length === 1 ? 'an error' : `${String(issues.length)} errors`;
  const message = `${kind.kind} ${name || nameOf(object)} has ${count}:\n${lines.join('\n')}\n(decision ${id})`;
  return {...allow('policies', 'invalid'), allowed: false, code: 422, message};
}

function nameOf(object: JsonObject): string {
  const {metadata} = object;
  const name = typeof metadata === 'object' && metadata !== null ? (metadata as JsonObject)['name'] : undefined;
  return typeof name === 'string' ? name : '';
}
