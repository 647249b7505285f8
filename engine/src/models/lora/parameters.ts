import type { Parameter } from '../../nn/parameter.js';
import type { ModelLinears } from '../linears.js';

/** What PEFT puts before a module's name. */
export const PEFT_PREFIX = 'base_model.model.';

/** Parameters of the attached adapter under the names that PEFT saves them by. */
export function adapterParameters(linears: ModelLinears): [name: string, parameter: Parameter][] {
  return [...linears].flatMap(([name, { adapter }]): [string, Parameter][] =>
    adapter
      ? [
          [`${PEFT_PREFIX}${name}.lora_A.weight`, adapter.a],
          [`${PEFT_PREFIX}${name}.lora_B.weight`, adapter.b],
          ...(adapter.dora
            ? [[`${PEFT_PREFIX}${name}.lora_magnitude_vector`, adapter.dora.magnitude] as [string, Parameter]]
            : []),
        ]
      : [],
  );
}
