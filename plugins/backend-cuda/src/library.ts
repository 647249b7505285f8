import { locateBackendLibrary } from '@largeforge/engine';

/** Path of the backend's shared library: the platform's package, else the one built in the checkout. */
export const locateLibrary = (): string => locateBackendLibrary('backend-cuda', import.meta.url);
