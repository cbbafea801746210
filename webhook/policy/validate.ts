import {readObject} from './read-object.ts';
import type {PolicyIssue} from './shape.ts';

/**
 * What is wrong with a policy or an exception, as its admission and its status tell it.
 * @param raw the object as the API has it; anything else is refused, too.
 * @returns nothing for one that `compilePolicies` compiles.
 */
export function validatePolicyObject(raw: unknown): readonly PolicyIssue[] {
  return readObject(raw).issues;
}
