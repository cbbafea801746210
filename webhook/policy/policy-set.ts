import {LRUCache} from 'lru-cache';
import {printImageReference, type ImageIdentity} from '../../oci/image-reference.ts';
import {globMatches} from './glob.ts';
import type {Matcher} from './image-match.ts';
import type {CompiledPolicy, Scope} from './policy.ts';
import {selects, selectsAll, type Labels} from './selector.ts';
import type {ImageInQuestion, Outcome, Subject} from './shape.ts';

const SYSTEM_NAMESPACE = 'kube-system';
/** The API server sets it on every namespace, and nobody can change it. */
const NAME_LABEL = 'kubernetes.io/metadata.name';
/** Namespaces whose policies are remembered. */
const MAX_NAMESPACES = 1000;
/** Outcomes that are remembered, some pointers each, over all images. */
const MAX_OUTCOMES = 500_000;
const MAX_KEY = 16 * 1024;
/** Lists of places of a namespace, by what its pods select. */
const MAX_LISTS = 64;
/** Lists of places for which an image's outcomes are kept. */
const MAX_KEPT = 2;

/** An exception ready to be asked. */
export interface CompiledException {
  readonly name: string;
  /** As it names them; one that is not there is excepted from nothing. */
  readonly policies: readonly string[];
  readonly matches: Matcher;
  /** From this instant on it has no effect. */
  readonly expiresMs: number;
}

/** What a policy says to an image until an exception ends, and from then on. */
interface Excepted {
  readonly untilMs: number;
  readonly until: Outcome;
  readonly after: Outcome;
}
type Remembered = Outcome | Excepted;

/** The policies that are for a namespace. */
interface Applying {
  /** Places of those that are for every pod in it. */
  readonly always: readonly number[];
  /** Of those that select among its pods. */
  readonly selecting: readonly number[];
  /** Which of `selecting` are for a pod → the places of all that are. One list for all pods alike: outcomes are kept by it. */
  readonly lists: Map<string, readonly number[]>;
}

/**
 * Policies and exceptions, compiled. What was worked out before is remembered by content alone (labels of a namespace,
 * identity of an image), never by time or order: a set that has seen much answers as a new one does.
 */
export class PolicySet {
  readonly policies: readonly CompiledPolicy[];
  readonly #ownNamespace: string;
  /** Latest end first; at the same end by name. */
  readonly #exceptions: readonly CompiledException[];
  /** Policy's name as exceptions give it → its places in `policies`. */
  readonly #places: ReadonlyMap<string, readonly number[]>;
  /** Namespace and its labels → places of the policies that are for it. */
  readonly #namespaces = new LRUCache<string, Applying>({max: MAX_NAMESPACES});
  /** Identity → what each policy said, at its place, as far as it was asked. */
  readonly #images: LRUCache<string, Answers>;

  constructor(policies: readonly CompiledPolicy[], exceptions: readonly CompiledException[], ownNamespace: string) {
    this.policies = policies.toSorted(byName);
    this.#ownNamespace = ownNamespace;
    this.#exceptions = exceptions.toSorted((a, b) => b.expiresMs - a.expiresMs || compare(a.name, b.name));
    this.#places = placesByName(this.policies);
    this.#images = new LRUCache({max: Math.max(64, Math.floor(MAX_OUTCOMES / Math.max(policies.length, 100)))});
  }

  /** Places of the policies that apply to a pod's images. */
  applicable({namespace, namespaceLabels, podLabels, serviceAccount}: Subject): readonly number[] {
    if (namespace === this.#ownNamespace) return [];
    const {always, selecting, lists} = this.#forNamespace(namespace, namespaceLabels);
    if (selecting.length === 0) return always;
    const selected = selecting.filter((place) => isForPod(this.#scope(place), podLabels, serviceAccount));
    const key = selected.join();
    let list = lists.get(key);
    if (list === undefined) {
      list = [...always, ...selected].toSorted((a, b) => a - b);
      if (lists.size >= MAX_LISTS) lists.clear();
      lists.set(key, list);
    }
    return list;
  }

  /** What the policies at `places` say to an image, in that order. */
  outcomes(places: readonly number[], image: ImageInQuestion, isVouched: boolean, nowMs: number): readonly Outcome[] {
    return this.#answersFor(image, isVouched).of(places, nowMs);
  }

  #scope(place: number): Scope {
    const policy = this.policies[place];
    if (policy === undefined) throw new RangeError(`No policy at place ${place}`);
    return policy.scope;
  }

  #forNamespace(namespace: string, labels: Labels): Applying {
    const key = JSON.stringify([namespace, Object.entries(labels).toSorted(([a], [b]) => compare(a, b))]);
    const known = this.#namespaces.get(key);
    if (known !== undefined) return known;
    const all = {...labels, [NAME_LABEL]: namespace};
    const places = [...this.policies.keys()].filter((place) => isForNamespace(this.#scope(place), namespace, all));
    const [always = [], selecting = []] = [false, true].map((selects) =>
      places.filter((place) => selectsAmongPods(this.#scope(place)) === selects),
    );
    const applying = {always, selecting, lists: new Map<string, readonly number[]>()};
    if (key.length <= MAX_KEY) this.#namespaces.set(key, applying);
    return applying;
  }

  #answersFor({identity}: ImageInQuestion, isVouched: boolean): Answers {
    if ('unreadable' in identity) return new Answers(this.policies, undefined, false, () => []);
    const key = `${printImageReference(identity)}${isVouched ? ' vouched' : ''}`;
    const known = this.#images.get(key);
    if (known !== undefined) return known;
    const answers = new Answers(this.policies, identity, isVouched, () => this.#exceptionsFor(identity, isVouched));
    this.#images.set(key, answers);
    return answers;
  }

  /** At each policy's place the exception that ends last. */
  #exceptionsFor(image: ImageIdentity, isVouched: boolean): readonly (CompiledException | undefined)[] {
    const byPlace: (CompiledException | undefined)[] = [];
    for (const exception of this.#exceptions) {
      if (!exception.matches(image, isVouched)) continue;
      for (const place of exception.policies.flatMap((name) => this.#places.get(name) ?? []))
        byPlace[place] ??= exception;
    }
    return byPlace;
  }
}

/** What policies say together, for as long as no exception begins or ends to count. */
interface Kept {
  readonly places: readonly number[];
  readonly fromMs: number;
  readonly untilMs: number;
  readonly outcomes: readonly Outcome[];
}

/** What each policy says to one image: asked once. */
class Answers {
  readonly #policies: readonly CompiledPolicy[];
  readonly #image: ImageIdentity | undefined;
  readonly #isVouched: boolean;
  readonly #newExceptions: () => readonly (CompiledException | undefined)[];
  #exceptions: readonly (CompiledException | undefined)[] | undefined;
  readonly #known: Remembered[] = [];
  /** The last asked first. */
  #kept: readonly Kept[] = [];

  constructor(
    policies: readonly CompiledPolicy[],
    image: ImageIdentity | undefined,
    isVouched: boolean,
    newExceptions: () => readonly (CompiledException | undefined)[],
  ) {
    this.#policies = policies;
    this.#image = image;
    this.#isVouched = isVouched;
    this.#newExceptions = newExceptions;
  }

  of(places: readonly number[], nowMs: number): readonly Outcome[] {
    for (const kept of this.#kept)
      if (kept.places === places && kept.fromMs <= nowMs && nowMs < kept.untilMs) return kept.outcomes;
    let [fromMs, untilMs] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    const outcomes = places.map((place) => {
      const answer = this.#at(place);
      if (!('untilMs' in answer)) return answer;
      if (nowMs < answer.untilMs) {
        untilMs = Math.min(untilMs, answer.untilMs);
        return answer.until;
      }
      fromMs = Math.max(fromMs, answer.untilMs);
      return answer.after;
    });
    this.#kept = [{places, fromMs, untilMs, outcomes}, ...this.#kept.slice(0, MAX_KEPT - 1)];
    return outcomes;
  }

  #at(place: number): Remembered {
    return (this.#known[place] ??= this.#ask(place));
  }

  #ask(place: number): Remembered {
    const policy = this.#policies[place];
    if (policy === undefined) throw new RangeError(`No policy at place ${place}`);
    const after = policy.decide(this.#image, this.#isVouched);
    if (after.accepts) return after;
    this.#exceptions ??= this.#newExceptions();
    const exception = this.#exceptions[place];
    if (exception === undefined) return after;
    const {policy: name, mode} = after;
    const until: Outcome = {
      policy: name,
      mode,
      accepts: true,
      reason: 'excepted',
      rule: undefined,
      exception: exception.name,
      message: '',
      fix: '',
    };
    return {untilMs: exception.expiresMs, until, after};
  }
}

function isForNamespace({namespace, namespaceSelector}: Scope, asked: string, labels: Labels): boolean {
  if (namespace !== undefined) return namespace === asked;
  return namespaceSelector === undefined ? asked !== SYSTEM_NAMESPACE : selects(namespaceSelector, labels);
}

function selectsAmongPods({podSelector, serviceAccounts}: Scope): boolean {
  return serviceAccounts !== undefined || (podSelector !== undefined && !selectsAll(podSelector));
}

function isForPod({podSelector, serviceAccounts}: Scope, labels: Labels, account: string): boolean {
  return (
    (podSelector === undefined || selectsAll(podSelector) || selects(podSelector, labels)) &&
    (serviceAccounts === undefined || serviceAccounts.some((glob) => globMatches(glob, account)))
  );
}

function placesByName(policies: readonly CompiledPolicy[]): ReadonlyMap<string, readonly number[]> {
  const places = new Map<string, number[]>();
  for (const [place, {name}] of policies.entries()) places.set(name.name, [...(places.get(name.name) ?? []), place]);
  return places;
}

function byName(a: CompiledPolicy, b: CompiledPolicy): number {
  return compare(a.name.kind, b.name.kind) || compare(a.name.name, b.name.name);
}

/** By code units: the same on every machine. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
