/** Whole numbers from 0 to 2^32 - 1, one after the other: four bytes each, however many there are. */
export class NumberList {
  private values = new Uint32Array(1024);
  private count = 0;

  get length(): number {
    return this.count;
  }

  push(value: number): void {
    if (this.count === this.values.length) {
      const larger = new Uint32Array(2 * this.values.length);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.count++] = value;
  }

  /** The numbers so far; a view that the next `push` may leave behind. */
  get numbers(): Uint32Array {
    return this.values.subarray(0, this.count);
  }
}
