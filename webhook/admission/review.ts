/** What the API server asks, read strictly: what is not as the API has it is refused, not guessed. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly kind: GroupVersionKind;
  readonly resource: string;
  /** Empty for the object itself. */
  readonly subResource: string;
  readonly namespace: string;
  /** Empty where the API server makes it from `generateName`. */
  readonly name: string;
  readonly user: User;
  readonly object: JsonObject | undefined;
  readonly oldObject: JsonObject | undefined;
  readonly dryRun: boolean;
}

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export interface User {
  readonly username: string;
  readonly groups: readonly string[];
}

export type JsonObject = Readonly<Record<string, unknown>>;

const API_VERSION = 'admission.k8s.io/v1';
/** The API server's are UUIDs. */
const MAX_UID = 128;
const MAX_NAME = 253;
const OPERATIONS: ReadonlySet<unknown> = new Set(['CREATE', 'UPDATE', 'DELETE', 'CONNECT']);

/**
 * Reads an AdmissionReview of `admission.k8s.io/v1`.
 * @throws {SyntaxError} that names the field.
 * @see https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-request-and-response
 */
export function readReview(review: unknown): AdmissionRequest {
  const root = object(review, 'the review');
  if (root['apiVersion'] !== API_VERSION || root['kind'] !== 'AdmissionReview')
    throw new SyntaxError(`apiVersion, kind: expected ${API_VERSION}, AdmissionReview`);
  const request = object(root['request'], 'request');
  const uid = text(request['uid'], 'request.uid', MAX_UID);
  if (uid === '') throw new SyntaxError('request.uid: expected text');
  const {operation} = request;
  if (!OPERATIONS.has(operation))
    throw new SyntaxError('request.operation: expected CREATE, UPDATE, DELETE or CONNECT');
  return {
    uid,
    operation: operation as AdmissionRequest['operation'], // one of them: checked above
    kind: readKind(request['kind']),
    resource: text(object(request['resource'], 'request.resource')['resource'], 'request.resource.resource'),
    subResource: optionalText(request['subResource'], 'request.subResource'),
    namespace: optionalText(request['namespace'], 'request.namespace'),
    name: optionalText(request['name'], 'request.name'),
    user: readUser(request['userInfo']),
    object: optionalObject(request['object'], 'request.object'),
    oldObject: optionalObject(request['oldObject'], 'request.oldObject'),
    dryRun: readFlag(request['dryRun'], 'request.dryRun'),
  };
}

function readKind(value: unknown): GroupVersionKind {
  const kind = object(value, 'request.kind');
  return {
    group: optionalText(kind['group'], 'request.kind.group'),
    version: text(kind['version'], 'request.kind.version'),
    kind: text(kind['kind'], 'request.kind.kind'),
  };
}

function readUser(value: unknown): User {
  const user = optionalObject(value, 'request.userInfo') ?? {};
  const groups = user['groups'] ?? [];
  if (!Array.isArray(groups) || !groups.every((group) => typeof group === 'string'))
    throw new SyntaxError('request.userInfo.groups: expected a list of texts');
  return {username: optionalText(user['username'], 'request.userInfo.username', 4096), groups: groups as string[]};
}

function object(value: unknown, at: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new SyntaxError(`${at}: expected an object`);
  return value as JsonObject; // of JSON: checked above
}

function optionalObject(value: unknown, at: string): JsonObject | undefined {
  return value === undefined || value === null ? undefined : object(value, at);
}

function text(value: unknown, at: string, max = MAX_NAME): string {
  if (typeof value !== 'string' || value.length > max)
    throw new SyntaxError(`${at}: expected text of at most ${String(max)} characters`);
  return value;
}

function optionalText(value: unknown, at: string, max = MAX_NAME): string {
  return value === undefined || value === null ? '' : text(value, at, max);
}

function readFlag(value: unknown, at: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw new SyntaxError(`${at}: expected true or false`);
  return value;
}
