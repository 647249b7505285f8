import { setUp } from './setup.mjs';

setUp(...process.argv.slice(2));
