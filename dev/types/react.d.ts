/** Types of the parts of React that the client and its tests use; its packages ship no declarations. */

declare module "react" {
  export function useCallback<F>(callback: F, deps: readonly unknown[]): F;
  export function useMemo<T>(make: () => T, deps: readonly unknown[]): T;
  export function useRef<T>(initial: T): { current: T };
  export function useState<T>(make: () => T): [T, (next: T) => void];
  export function useSyncExternalStore<S>(
    subscribe: (listener: () => void) => () => void,
    getSnapshot: () => S,
    getServerSnapshot: () => S,
  ): S;

  /** What a component returns. */
  export interface ReactElement {
    readonly type: unknown;
    readonly props: unknown;
  }
  export type ReactNode = ReactElement | string | null;
  export function StrictMode(props: { children?: ReactNode }): ReactNode;
  export function createElement<P extends object>(
    component: ((props: P) => ReactNode) | string,
    props: P | null,
    ...children: ReactNode[]
  ): ReactElement;
  /** Runs a change of components, and resolves once they have rendered and their effects have run. */
  export function act(change: () => void | Promise<void>): Promise<void>;
}

declare module "react-dom/client" {
  import type { ReactNode } from "react";

  /** A tree of components on a page. */
  export interface Root {
    render(node: ReactNode): void;
    unmount(): void;
  }
  export function createRoot(container: object): Root;
  export function hydrateRoot(
    container: object,
    node: ReactNode,
    options?: { onRecoverableError(error: unknown): void },
  ): Root;
}

declare module "react-dom/server" {
  import type { ReactNode } from "react";

  export function renderToString(node: ReactNode): string;
}
