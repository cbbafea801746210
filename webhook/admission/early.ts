import {judgeAhead} from '../policy/judge.ts';
import {earlyWarningsOf} from '../policy/denial.ts';
import type {ReviewContext} from './context.ts';
import {allow, type Decision} from './decision.ts';
import {notesOf} from './note.ts';
import {readChange} from './pod-change.ts';
import {questionOf, subjectOf, UnknowableError} from './question.ts';
import type {AdmissionRequest} from './review.ts';

/**
 * Tells who applies a workload what its pods will meet. Templates are never changed and never refused: one that is changed
 * makes GitOps tools and controllers start over for ever, and the pods are judged anyway (policy-peers §1.5). Nobody is
 * asked: a warning is not worth a wait.
 */
export async function early(request: AdmissionRequest, context: ReviewContext): Promise<Decision> {
  if (request.namespace === context.ownNamespace) return allow('early', 'own-namespace');
  try {
    const change = readChange(request);
    if (change === undefined || change.changed.length === 0) return allow('early', 'unchanged');
    const subject = await subjectOf(request.namespace, change.pod, context);
    const question = questionOf(subject, change.changed, context);
    const verdict = judgeAhead(context.policies, question, context.nowMs, context.pin.enabled);
    const warnings = earlyWarningsOf(verdict);
    const reason = warnings.length > 0 ? 'warned' : 'allowed';
    return allow('early', reason, {verdict, images: notesOf(verdict), warnings});
  } catch (error) {
    if (error instanceof UnknowableError) return allow('early', 'unknowable');
    if (error instanceof TypeError) return allow('early', 'unreadable');
    throw error;
  }
}
