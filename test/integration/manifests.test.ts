import assert from 'node:assert/strict';
import {mkdtemp, readdir, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join, relative, resolve} from 'node:path';
import {after, test} from 'node:test';
import {parse, parseAllDocuments, stringify} from 'yaml';
import {Metrics} from '../../agent/metrics.ts';
import {SHIPPED_BYTES} from '../../bench/scenarios/warm-large.ts';
import {WebhookMetrics} from '../../webhook/metrics.ts';
import {needs} from '../needs.ts';
import {applyCrds, certManagerCrds} from '../peers/cert-manager.ts';
import {goModule} from '../peers/go-program.ts';
import {Kubernetes, needsKubernetes} from '../peers/kubernetes.ts';
import {run} from '../peers/run.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
const MANIFESTS = join(CHECKOUT, 'manifests');
const OPERATOR = 'components/prometheus-operator';

interface Thing {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {readonly name: string; readonly namespace?: string};
}
interface Rules extends Thing {
  readonly rules: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly resourceNames?: readonly string[];
    readonly verbs: readonly string[];
  }[];
}

async function text(path: string): Promise<string> {
  return await readFile(join(MANIFESTS, path), 'utf8');
}

async function things<T extends Thing>(path: string): Promise<readonly T[]> {
  return parseAllDocuments(await text(path)).map((one) => one.toJS() as T);
}

test('every right is in the table of manifests/README.md with a reason, and no other', async () => {
  const granted = [];
  // As rendered: kustomize takes a resource's name in a rule for the name of a ConfigMap that it makes, and changes it.
  for (const thing of await things<Rules>('install.yaml'))
    for (const {apiGroups, resources, resourceNames = [], verbs} of thing.rules ?? [])
      for (const [group, resource] of apiGroups.flatMap((one) => resources.map((other) => [one, other] as const))) {
        const where = thing.kind === 'ClusterRole' ? 'cluster' : '`noost-system`';
        const names = resourceNames.map((name) => ` \`${name}\``).join('');
        const what = `\`${resource}${group === '' ? '' : `.${group}`}\`${names}`;
        const who = thing.metadata.name.replace('noost-', '');
        granted.push(`| ${who} | ${where} | ${what} | ${verbs.map((verb) => `\`${verb}\``).join(', ')} |`);
      }
  const rows = [
    ...(await text('README.md')).matchAll(/^(\| (?:agent|webhook|policies-(?:view|edit)) \|.*\|) ([^|]+) \|$/gm),
  ];
  assert.deepEqual(rows.map(([, row = '']) => row).toSorted(), granted.toSorted());
  for (const [, row = '', why = ''] of rows) assert.ok(why.length > 10, row);
  assert.ok(granted.length > 15);
  assert.ok(granted.every((row) => !row.includes('*')));
});

test('the version is said once, and is that of the program', async () => {
  const {version} = JSON.parse(await readFile(join(CHECKOUT, 'package.json'), 'utf8')) as {version: string};
  assert.match(
    await text('version/kustomization.yaml'),
    new RegExp(`^ +newTag: ${version.replaceAll('.', '\\.')} `, 'm'),
  );
  const files = (await readdir(MANIFESTS, {recursive: true})).filter((name) => name.endsWith('.yaml'));
  for (const file of files.filter((name) => name !== 'install.yaml' && !name.startsWith('version/')))
    assert.doesNotMatch(await text(file), new RegExp(`noost:${version}|newTag`), file);
});

test('install.yaml is what manifests/ renders to', async (t) => {
  if (!needsKubernetes(t)) return;
  const rendered = await kustomize('.');
  if (process.env['NOOST_TEST_UPDATE'] === '1') await writeFile(join(MANIFESTS, 'install.yaml'), rendered);
  assert.equal(
    await text('install.yaml'),
    rendered,
    'NOOST_TEST_UPDATE=1 npm test -- test/integration/manifests.test.ts',
  );
});

test('the bench measures the memory limit that is shipped', async () => {
  const [daemonSet] = (await things('base/agent/daemonset.yaml')) as unknown as [{spec: {template: {spec: PodSpec}}}];
  const [container] = daemonSet.spec.template.spec.containers;
  assert.equal(container?.resources.limits.memory, `${String(SHIPPED_BYTES / 1024 ** 3)}Gi`);
});

test('no container has more than it needs', async (t) => {
  if (!needsKubernetes(t)) return;
  for (const overlay of [...(await overlays()), 'registry'])
    for (const thing of await renderedThings(overlay)) {
      if (!['DaemonSet', 'Deployment', 'StatefulSet'].includes(thing.kind)) continue;
      const {spec} = thing as unknown as {spec: {template: {spec: PodSpec}}};
      const {containers, securityContext, ...pod} = spec.template.spec;
      assert.equal(securityContext.seccompProfile.type, 'RuntimeDefault');
      assert.equal(pod.nodeSelector['kubernetes.io/os'], 'linux');
      assert.equal(pod.hostPID ?? pod.hostIPC ?? false, false);
      if (thing.kind !== 'DaemonSet') assert.equal(securityContext.runAsNonRoot, true);
      for (const container of containers) {
        assert.deepEqual(container.securityContext, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: {drop: ['ALL']},
        });
        assert.ok(container.livenessProbe && container.readinessProbe && container.resources.limits.memory);
      }
    }
});

interface PodSpec {
  readonly containers: readonly {
    readonly securityContext: object;
    readonly livenessProbe?: object;
    readonly readinessProbe?: object;
    readonly resources: {readonly limits: {readonly memory: string}};
  }[];
  readonly securityContext: {readonly seccompProfile: {readonly type: string}; readonly runAsNonRoot?: boolean};
  readonly nodeSelector: Readonly<Record<string, string>>;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
}

test('Prometheus accepts the alerts; each has a runbook, and every metric in them and in the dashboard is one of ours', async (t) => {
  const [rule] = (await things(`${OPERATOR}/alerts.yaml`)) as unknown as [{spec: {groups: AlertGroup[]}}];
  const alerts = rule.spec.groups.flatMap(({rules}) => rules);
  const docs = await readFile(join(CHECKOUT, 'docs/kubernetes.md'), 'utf8');
  const anchors = [...docs.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title.toLowerCase().replaceAll('`', ''));
  for (const {alert, annotations} of alerts) {
    const [file, anchor] = annotations.runbook_url.split('#');
    assert.equal(file, 'docs/kubernetes.md');
    assert.equal(anchor, alert.toLowerCase());
    assert.ok(anchors.includes(anchor), `no runbook for ${alert}`);
  }
  const known = new Set<string>();
  for (const {registry} of [new Metrics('0'), new WebhookMetrics('0')])
    for (const {name} of await registry.getMetricsAsJSON()) known.add(name);
  for (const query of [...alerts.map(({expr}) => expr), ...(await dashboardQueries())])
    for (const [name = ''] of query.matchAll(/\b(?:noost|process)_[a-z_]+/g))
      assert.ok(known.has(name) || known.has(name.replace(/_(?:bucket|sum|count)$/, '')), `${name} in ${query}`);
  if (!needs(t, 'promtool')) return;
  const folder = await mkdtemp(join(tmpdir(), 'noost-alerts-'));
  t.after(async () => await rm(folder, {recursive: true}));
  await writeFile(join(folder, 'rules.yaml'), stringify(rule.spec));
  await run('promtool', ['check', 'rules', join(folder, 'rules.yaml')]);
});

interface AlertGroup {
  readonly rules: readonly {
    readonly alert: string;
    readonly expr: string;
    readonly annotations: {readonly runbook_url: string};
  }[];
}

async function dashboardQueries(): Promise<string[]> {
  const {panels} = JSON.parse(await text(`${OPERATOR}/dashboard.json`)) as {panels: {targets: {expr: string}[]}[]};
  return panels.flatMap(({targets}) => targets.map(({expr}) => expr));
}

let cluster: Promise<Kubernetes> | undefined;
after(async () => (await cluster)?.[Symbol.asyncDispose]());

/** Kinds that others bring: without their CRDs the API server does not know them. */
const FOREIGN = /^(?:cert-manager\.io|monitoring\.coreos\.com)\//;
const OPERATOR_MODULE = 'github.com/prometheus-operator/prometheus-operator';
const OPERATOR_CRDS = 'example/prometheus-operator-crd';

test('the API server accepts every object of every overlay', async (t) => {
  if (!needsKubernetes(t)) return;
  cluster ??= Kubernetes.start();
  const kubernetes = await cluster;
  await kubernetes.apply('manifests/base/namespace', 'manifests/registry/namespace', 'manifests/crds');
  for (const overlay of [...(await overlays()), 'registry'])
    await accepted(kubernetes, overlay, ({apiVersion}) => !FOREIGN.test(apiVersion));
});

test('cert-manager and the Prometheus operator know what the overlays say to them, every field', async (t) => {
  if (!needsKubernetes(t) || !needs(t, 'go')) return;
  const certManager = await certManagerCrds(t);
  if (certManager === undefined) return;
  const operator = await goModule(t, OPERATOR_MODULE, 'v0.85.0');
  if (operator === undefined) return;
  cluster ??= Kubernetes.start();
  const kubernetes = await cluster;
  await kubernetes.apply('manifests/base/namespace');
  await applyCrds(kubernetes, certManager);
  await applyCrds(kubernetes, join(operator, OPERATOR_CRDS), /_(?:pod|service)monitors|_prometheusrules/);
  for (const [overlay, count] of [
    ['overlays/cert-manager', 4],
    [`overlays/prometheus-operator`, 3],
  ] as const)
    assert.equal(await accepted(kubernetes, overlay, ({apiVersion}) => FOREIGN.test(apiVersion)), count);
});

/** What a strict server says to some objects of an overlay. @returns how many they are. */
async function accepted(kubernetes: Kubernetes, overlay: string, which: (thing: Thing) => boolean): Promise<number> {
  const ours = (await renderedThings(overlay)).filter(which);
  const documents = ours.map((one) => stringify(one)).join('---\n');
  const said = await kubernetes.kubectl(
    ['apply', '--dry-run=server', '--validate=strict', '--warnings-as-errors', '-f', '-'],
    documents,
  );
  assert.equal(said.trim().split('\n').length, ours.length, overlay);
  return ours.length;
}

test('what the overlays change combines', async (t) => {
  if (!needsKubernetes(t)) return;
  const folder = await mkdtemp(join(tmpdir(), 'noost-combined-'));
  t.after(async () => await rm(folder, {recursive: true}));
  const at = (path: string): string => relative(folder, join(MANIFESTS, path));
  const combined = ['ha', 'cert-manager', 'prometheus-operator', 'k3s'];
  await writeFile(
    join(folder, 'kustomization.yaml'),
    stringify({resources: [at('.')], components: combined.map((name) => at(`components/${name}`))}),
  );
  const identity = ({kind, metadata}: Thing): string => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;
  const found = parseAllDocuments(await kustomize(folder)).map((one) => one.toJS() as Thing);
  const each = await Promise.all(combined.map(async (name) => await renderedThings(`overlays/${name}`)));
  assert.deepEqual(
    new Set(found.map(identity)),
    new Set(each.flat().map(identity)), // what one of them takes away the others would have
  );
  assert.equal(new Set(found.map(identity)).size, found.length);
  const text = JSON.stringify(found);
  for (const mark of ['DoNotSchedule', '/etc/noost-tls/tls.crt', '/host/var/lib/rancher/k3s/'])
    assert.ok(text.includes(mark), mark);
  assert.ok(!text.includes('prometheus.io/scrape'));
});

test('the webhook would be let into a namespace of the level restricted', async (t) => {
  if (!needsKubernetes(t)) return;
  cluster ??= Kubernetes.start();
  const kubernetes = await cluster;
  await kubernetes.namespace('restricted', {'pod-security.kubernetes.io/enforce': 'restricted'});
  const found = (await renderedThings('.')).find(({kind}) => kind === 'Deployment') as unknown as {
    spec: {template: {spec: object}};
  };
  const pod = {apiVersion: 'v1', kind: 'Pod', metadata: {name: 'a', namespace: 'restricted'}, spec: {}};
  const spec = {...found.spec.template.spec, serviceAccountName: 'default', priorityClassName: undefined};
  await kubernetes.kubectl(['apply', '--dry-run=server', '-f', '-'], stringify({...pod, spec}));
});

async function overlays(): Promise<readonly string[]> {
  return ['.', ...(await readdir(join(MANIFESTS, 'overlays'))).map((name) => `overlays/${name}`)];
}

async function renderedThings(overlay: string): Promise<readonly Thing[]> {
  return parseAllDocuments(await kustomize(overlay)).map((one) => one.toJS() as Thing);
}

async function kustomize(folder: string): Promise<string> {
  const bin = (await run(join(CHECKOUT, 'test/cluster/build'), ['kubectl'], {timeoutMs: 900_000})).toString().trim();
  return (await run(join(bin, 'kubectl'), ['kustomize', resolve(MANIFESTS, folder)])).toString();
}

test('a kustomization names every file beside it', async () => {
  for (const file of (await readdir(MANIFESTS, {recursive: true})).filter((name) =>
    name.endsWith('kustomization.yaml'),
  )) {
    const folder = join(MANIFESTS, file, '..');
    const said = JSON.stringify(parse(await readFile(join(MANIFESTS, file), 'utf8')));
    for (const name of await readdir(folder))
      if (/\.(?:yaml|json)$/.test(name) && !['kustomization.yaml', 'install.yaml'].includes(name))
        assert.ok(said.includes(name), `${file} does not name ${name}`);
  }
});
