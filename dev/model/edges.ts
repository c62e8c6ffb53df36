/** The graph of the explored states, for questions about paths. */

/** The steps between states, which are numbered from 0. The kind of a step is 0 to 4. */
export class Edges {
  #from = new Int32Array(1 << 16);
  #to = new Int32Array(1 << 16);
  #kind = new Uint8Array(1 << 16);
  #size = 0;

  /** Adds a step. */
  add(from: number, to: number, kind: number): void {
    if (this.#size === this.#from.length) this.#grow();
    this.#from[this.#size] = from;
    this.#to[this.#size] = to;
    this.#kind[this.#size] = kind;
    this.#size++;
  }

  #grow(): void {
    const larger = (old: Int32Array<ArrayBuffer>) => {
      const grown = new Int32Array(old.length * 2);
      grown.set(old);
      return grown;
    };
    this.#from = larger(this.#from);
    this.#to = larger(this.#to);
    const kinds = new Uint8Array(this.#kind.length * 2);
    kinds.set(this.#kind);
    this.#kind = kinds;
  }

  /** The edges of the given kinds, grouped by one end. */
  #group(
    count: number,
    isWanted: (kind: number) => boolean,
    by: "from" | "to",
  ): { first: Int32Array; others: Int32Array; kinds: Uint8Array } {
    const ends = by === "from" ? this.#from : this.#to;
    const others = by === "from" ? this.#to : this.#from;
    const wanted = [0, 1, 2, 3, 4].map((kind) => isWanted(kind));
    const first = new Int32Array(count + 1);
    for (let edge = 0; edge < this.#size; edge++) {
      if (!wanted[this.#kind[edge] ?? 0]) continue;
      const end = ends[edge] ?? 0;
      first[end + 1] = (first[end + 1] ?? 0) + 1;
    }
    for (let id = 0; id < count; id++) {
      first[id + 1] = (first[id + 1] ?? 0) + (first[id] ?? 0);
    }
    const next = first.slice();
    const grouped = new Int32Array(first[count] ?? 0);
    const kinds = new Uint8Array(grouped.length);
    for (let edge = 0; edge < this.#size; edge++) {
      if (!wanted[this.#kind[edge] ?? 0]) continue;
      const end = ends[edge] ?? 0;
      const place = next[end] ?? 0;
      next[end] = place + 1;
      grouped[place] = others[edge] ?? 0;
      kinds[place] = this.#kind[edge] ?? 0;
    }
    return { first, others: grouped, kinds };
  }

  /** 1 for each state from which a path of the given edges leads to a goal. */
  statesReaching(
    count: number,
    isGoal: (id: number) => boolean,
    isWanted: (kind: number) => boolean,
  ): Uint8Array {
    const { first, others } = this.#group(count, isWanted, "to");
    const reaches = new Uint8Array(count);
    const waiting: number[] = [];
    for (let id = 0; id < count; id++) {
      if (!isGoal(id)) continue;
      reaches[id] = 1;
      waiting.push(id);
    }
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
      const end = first[id + 1] ?? 0;
      for (let edge = first[id] ?? 0; edge < end; edge++) {
        const before = others[edge] ?? 0;
        if (reaches[before] === 1) continue;
        reaches[before] = 1;
        waiting.push(before);
      }
    }
    return reaches;
  }

  /**
   * A state of a cycle of the given edges for which `isBad` holds (given the states of the strongly connected component
   * and the kinds of its edges), or undefined. Tarjan's algorithm, without recursion.
   */
  firstCycle(
    count: number,
    isWanted: (kind: number) => boolean,
    isBad: (
      members: ReadonlySet<number>,
      kinds: ReadonlySet<number>,
    ) => boolean,
  ): number | undefined {
    const { first, others, kinds } = this.#group(count, isWanted, "from");
    const index = new Int32Array(count).fill(-1);
    const low = new Int32Array(count);
    const isOnPath = new Uint8Array(count);
    const next = first.slice(0, count);
    const path: number[] = [];
    let visited = 0;
    for (let root = 0; root < count; root++) {
      if (index[root] !== -1) continue;
      const calls = [root];
      while (calls.length > 0) {
        const at = calls[calls.length - 1] ?? 0;
        if (index[at] === -1) {
          index[at] = low[at] = visited++;
          path.push(at);
          isOnPath[at] = 1;
        }
        const edge = next[at] ?? 0;
        if (edge < (first[at + 1] ?? 0)) {
          next[at] = edge + 1;
          const to = others[edge] ?? 0;
          if (index[to] === -1) calls.push(to);
          else if (isOnPath[to] === 1) {
            low[at] = Math.min(low[at] ?? 0, index[to] ?? 0);
          }
          continue;
        }
        calls.pop();
        const caller = calls[calls.length - 1];
        if (caller !== undefined) {
          low[caller] = Math.min(low[caller] ?? 0, low[at] ?? 0);
        }
        if (low[at] !== index[at]) continue;
        const members = new Set<number>();
        for (let member = -1; member !== at;) {
          member = path.pop() ?? at;
          isOnPath[member] = 0;
          members.add(member);
        }
        const inside = new Set<number>();
        for (const member of members) {
          const end = first[member + 1] ?? 0;
          for (let one = first[member] ?? 0; one < end; one++) {
            if (members.has(others[one] ?? 0)) inside.add(kinds[one] ?? 0);
          }
        }
        if (inside.size > 0 && isBad(members, inside)) {
          return Math.min(...members);
        }
      }
    }
    return undefined;
  }
}
