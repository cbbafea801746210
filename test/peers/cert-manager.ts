import {readdir} from 'node:fs/promises';
import {join} from 'node:path';
import type {TestContext} from 'node:test';
import {poll} from '../poll.ts';
import {Child} from './child.ts';
import {goModule, goPrograms, type GoPrograms} from './go-program.ts';
import type {Kubernetes} from './kubernetes.ts';

const MODULE = {module: 'github.com/cert-manager/cert-manager', version: 'v1.19.1'} as const;

/**
 * cert-manager's own controllers, as its `cmd/controller` starts them: that program is a Go module by itself, which no module
 * proxy has. Those of ACME, Vault, Venafi and ingresses are left out, and the webhook, which only fills in defaults and
 * gives errors earlier.
 */
const MAIN = `package main


import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		Kubeconfig:         os.Args[1],
		KubernetesAPIQPS:   50,
		KubernetesAPIBurst: 100,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: "cert-manager"},
	})
	if err != nil {
		panic(err)
	}
	for name, construct := range controller.Known() {
		one, err := construct(factory)
		if err != nil {
			panic(name + ": " + err.Error())
		}
		go func() {
			if err := one.Run(2, ctx); err != nil && ctx.Err() == nil {
				panic(name + ": " + err.Error())
			}
		}()
	}
	shared, err := factory.Build()
	if err != nil {
		panic(err)
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	<-ctx.Done()
}
`;

const CONTROLLER: GoPrograms = {
  ...MODULE,
  packages: ['noost-controller'],
  variant: '-1', // of MAIN
  added: {'noost-controller/main.go': MAIN},
};

/** The folder of cert-manager's CRDs. */
export async function certManagerCrds(t: TestContext): Promise<string | undefined> {
  const folder = await goModule(t, MODULE.module, MODULE.version);
  return folder === undefined ? undefined : join(folder, 'deploy/crds');
}

/** A real cert-manager beside a cluster. */
export class CertManager implements AsyncDisposable {
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  /** @returns `undefined` if it cannot be built here, and the test was skipped. */
  static async programs(t: TestContext): Promise<{readonly crds: string; readonly controller: string} | undefined> {
    const crds = await certManagerCrds(t);
    const programs = crds === undefined ? undefined : await goPrograms(t, CONTROLLER);
    if (crds === undefined || programs === undefined) return undefined;
    return {crds, controller: join(programs, 'noost-controller')};
  }

  static async start(
    kubernetes: Kubernetes,
    {crds, controller}: {readonly crds: string; readonly controller: string},
  ): Promise<CertManager> {
    await applyCrds(kubernetes, crds);
    return new CertManager(new Child(controller, [kubernetes.kubeconfig]));
  }

  get log(): string {
    return this.#child.tail(40);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }
}

/** Applies the CRDs of a folder, or some of them, and waits until they are served. */
export async function applyCrds(kubernetes: Kubernetes, folder: string, which = /\.yaml$/): Promise<void> {
  const files = (await readdir(folder)).filter((name) => which.test(name)).map((name) => join(folder, name));
  for (const file of files) await kubernetes.kubectl(['apply', '--server-side', '-f', file]);
  await poll('they are served', async () => {
    await kubernetes.kubectl(['wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all']);
    return true;
  });
}
