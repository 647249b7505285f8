/** The kit for authors of plugins: one plugin, set up without the rest, its hooks fired, its steps run. */

export { checkPackage } from './check-package.js';
export { checkPlugin } from './check-plugin.js';
export {
  type HookName,
  type HookResult,
  type HookValue,
  PluginTest,
  type PluginTestOptions,
  type Registered,
  testPlugin,
} from './plugin-test.js';
