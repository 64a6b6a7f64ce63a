/**
 * A cluster for the browser tests: `tests/cluster/fake`, in a process of its own, configured by `kale-serve cluster set`.
 *
 *   import { FakeCluster } from '../cluster';
 *
 *   test.describe('…', () => {
 *     FakeCluster.needed();                 // skips where the KServe data is not at hand; in CI that fails
 *     let cluster: FakeCluster;
 *     test.beforeAll(async () => { cluster = await FakeCluster.start(); });
 *     test.afterAll(async () => { await cluster.stop(); });
 *
 * After `start()` the target `kserve` is available (title: cluster.title) and not the default, so that what knows no
 * clusters goes on as before; `stop()` takes the configuration back and ends all processes. Models go to a claim `models`.
 *
 * An InferenceService becomes what a recording says: of names that begin with `play`ed ones theirs, else a healthy one's.
 * A prediction is answered once a server stands behind it:
 *
 *   await cluster.play('unschedulable', 'big*');      // before it is created; see tests/cluster/fake/player.py
 *   await cluster.answers('iris');                    // a real server, with the published files: the service becomes ready
 *   await cluster.hold(); await cluster.advance(3); await cluster.release();    // its controller's clock
 *   await cluster.edit('inferenceservices', 'iris', { spec: … });               // what someone does with kubectl edit
 *   await cluster.refuse(); await cluster.resume();   // the API server is away, and back
 *   await cluster.order('deny', ['create', 'inferenceservices']);               // anything else that the fake can do
 */
import { spawn, spawnSync } from 'child_process';
import type { ChildProcessWithoutNullStreams } from 'child_process';
import { once } from 'events';
import fs from 'fs';
import os from 'os';
import path from 'path';

import { expect, test } from '@playwright/test';

const ROOT = path.resolve(__dirname, '..');
const SHARED = process.env.KALE_SERVE_SHARED ?? path.resolve(ROOT, '../shared');

/** A folder that is a mounted volume, as a claim's would be: the machine's shared memory is one. */
const VOLUMES = '/dev/shm';

interface IAnswer {
  ready?: string;
  done?: unknown;
  failed?: string;
}

export class FakeCluster {
  private constructor(
    private readonly folder: string,
    private readonly mounted: string,
    private readonly child: ChildProcessWithoutNullStreams
  ) {
    let rest = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(line => this.waiting.shift()?.(JSON.parse(line) as IAnswer));
    });
    child.stdout.on('close', () => {
      this.waiting.splice(0).forEach(tell => tell({ failed: 'it has ended' }));
    });
  }

  /** Skip the tests of this file or group where there is no data to play a cluster from. */
  static needed(): void {
    test.skip(
      !fs.existsSync(SHARED) && !process.env.CI,
      'The KServe data is not at hand: ../shared or KALE_SERVE_SHARED'
    );
  }

  /** Start it, configure it, and wait until it can be served to. */
  static async start(): Promise<FakeCluster> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ksl-cluster-'));
    const mounted = fs.mkdtempSync(path.join(VOLUMES, 'ksl-'));
    const args = ['-m', 'tests.cluster.fake.directed', folder, '--mounted', mounted];
    const child = spawn('python', args, { cwd: ROOT, stdio: 'pipe' });
    child.stderr.pipe(process.stderr);
    const cluster = new FakeCluster(folder, mounted, child);
    try {
      const { ready, failed } = await cluster.answer();
      if (ready === undefined) {
        throw new Error(`the fake cluster did not start: ${failed}`);
      }
      const store = ['--store', 'pvc://models/kale', '--mounted', mounted];
      kaleServe('cluster', 'set', '--kubeconfig', ready, '--no-default', '--address', 'api-server', ...store);
      await expect.poll(async () => (await target())?.available, { timeout: 60_000 }).toBe(true);
      cluster.titleSeen = (await target())?.title ?? '';
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** What the panels call it. */
  get title(): string {
    return this.titleSeen;
  }

  async stop(): Promise<void> {
    kaleServe('cluster', 'unset');
    const ended = this.child.exitCode === null ? once(this.child, 'exit') : null;
    this.child.stdin.end();
    await ended;
    for (const folder of [this.folder, this.mounted]) {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Let it do something by name: see tests/cluster/fake/directed.py. Answers what that answers, where it is JSON. */
  async order(name: string, given: readonly unknown[] = [], named: object = {}): Promise<unknown> {
    const answered = this.answer();
    this.child.stdin.write(`${JSON.stringify({ do: name, with: given, by: named })}\n`);
    const answer = await answered;
    if (answer.failed !== undefined) {
      throw new Error(`the fake cluster, ${name}: ${answer.failed}`);
    }
    return answer.done;
  }

  /** What an InferenceService whose name fits the pattern goes through from its creation on. */
  async play(recording: string, pattern: string): Promise<void> {
    await this.order('play', [recording, pattern]);
  }

  /** A real server stands behind the service from now on. */
  async answers(name: string): Promise<void> {
    await this.order('answers', [name]);
  }

  /** An object as it is, or null. */
  async get(plural: string, name: string): Promise<{ [field: string]: unknown } | null> {
    return (await this.order('get', [plural, name])) as { [field: string]: unknown } | null;
  }

  async edit(plural: string, name: string, patch: object): Promise<void> {
    await this.order('edit', [plural, name, patch]);
  }

  /** Its controller does nothing until `advance` or `release`. */
  async hold(): Promise<void> {
    await this.order('controller.hold');
  }

  async advance(seconds: number): Promise<void> {
    await this.order('controller.advance', [seconds]);
  }

  async release(): Promise<void> {
    await this.order('controller.release');
  }

  async refuse(): Promise<void> {
    await this.order('refuse');
  }

  async resume(): Promise<void> {
    await this.order('resume');
  }

  /** What the next line says that nobody waits for yet. */
  private async answer(): Promise<IAnswer> {
    return new Promise(resolve => this.waiting.push(resolve));
  }

  private readonly waiting: ((answer: IAnswer) => void)[] = [];
  private titleSeen = '';
}

function kaleServe(...args: string[]): void {
  const done = spawnSync('python', ['-m', 'kale_serve_lab.cli', ...args], { encoding: 'utf8' });
  if (done.status !== 0) {
    throw new Error(`kale-serve ${args.join(' ')}: ${done.stdout}${done.stderr}`);
  }
}

async function target(): Promise<{ title: string; available: boolean } | undefined> {
  const response = await fetch(`${process.env.TARGET_URL}/kale-serve/api/targets`);
  const body = (await response.json()) as { items?: { name: string; title: string; available: boolean }[] };
  return body.items?.find(item => item.name === 'kserve');
}
