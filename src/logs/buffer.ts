/** The last lines of a text that comes in pieces; a piece may end in the middle of a line. */
export class LogBuffer {
  constructor(most: number) {
    this._most = most;
  }

  get lines(): readonly string[] {
    return this._rest ? [...this._lines, this._rest] : this._lines;
  }

  /** How many lines have been let go. */
  get dropped(): number {
    return this._dropped;
  }

  append(text: string): void {
    const pieces = (this._rest + text).split('\n');
    this._rest = pieces.pop() ?? '';
    this._lines.push(...pieces.map(line => line.replace(/\r$/, '')));
    const over = this._lines.length - this._most;
    if (over > 0) {
      this._lines = this._lines.slice(over);
      this._dropped += over;
    }
  }

  clear(): void {
    this._lines = [];
    this._rest = '';
    this._dropped = 0;
  }

  private readonly _most: number;
  private _lines: string[] = [];
  private _rest = '';
  private _dropped = 0;
}
