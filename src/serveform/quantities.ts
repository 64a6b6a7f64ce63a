/** Amounts as Kubernetes writes them. Pure. */

const SUFFIXES: { [suffix: string]: number } = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60
};

/** The number that 500m, 4Gi or 1e3 stands for; null for what is no amount. */
export function amount(text: string): number | null {
  const found = /^(\d+(?:\.\d*)?|\.\d+)(?:([eE][+-]?\d{1,3})|([a-zA-Z]{0,2}))$/.exec(text.trim());
  const factor = SUFFIXES[found?.[3] ?? ''];
  return found === null || factor === undefined ? null : Number(found[1] + (found[2] ?? '')) * factor;
}

/** Whether it is empty or a whole number that can be sent. */
export function isCount(text: string): boolean {
  return /^\s*\d{0,6}\s*$/.test(text);
}
