import type {ServerResponse} from 'node:http';
import type {Decision} from './decision.ts';
import type {AdmissionRequest} from './review.ts';

/** The API server stores these under the webhook's name in its audit log; more than that of one is of no use there. */
const MAX_ANNOTATION = 2_000;

/** Answers with an AdmissionReview. @see readReview */
export function answerReview(res: ServerResponse, {uid}: AdmissionRequest, decision: Decision, id: string): void {
  const {allowed, patch, warnings, message, code} = decision;
  const response = {
    uid,
    allowed,
    ...(allowed ? {} : {status: {code: code ?? 403, message: message ?? '', reason: reasonOf(code)}}),
    ...(patch.length === 0
      ? {}
      : {patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64')}),
    ...(warnings.length === 0 ? {} : {warnings}),
    auditAnnotations: annotationsOf(decision, id),
  };
  const text = asciiJson({apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response});
  res.writeHead(200, {'content-type': 'application/json', 'content-length': text.length}).end(text, 'latin1');
}

/** What is beyond ASCII is escaped: a character is a byte, and head and body leave in one write that encodes nothing. */
function asciiJson(value: object): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function reasonOf(code: Decision['code']): string {
  if (code === 400) return 'BadRequest';
  if (code === 422) return 'Invalid';
  return code === 504 ? 'Timeout' : 'Forbidden';
}

/** Who admitted what and why, also where our own log is not kept. */
function annotationsOf({reason, images}: Decision, id: string): Readonly<Record<string, string>> {
  const annotations: Record<string, string> = {decision: id, reason};
  const said = images.flatMap(({path, written, canonical, pinned, refused}) => {
    const is = pinned ?? canonical;
    const what = `${path}: ${written}${is === undefined || is === written ? '' : ` is ${is}`}`;
    return [refused === undefined ? what : `${what}, refused by ${refused.join(', ')}`];
  });
  if (said.length > 0) annotations['images'] = said.join('; ').slice(0, MAX_ANNOTATION);
  return annotations;
}

/** The API server takes any other status for our failure, and shows the text. */
export function refuse(res: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  if (res.headersSent || res.destroyed) return void res.destroy();
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  const body = Buffer.from(`${text}\n`);
  res.writeHead(status, {'content-type': 'text/plain; charset=utf-8', 'content-length': body.length}).end(body);
}
