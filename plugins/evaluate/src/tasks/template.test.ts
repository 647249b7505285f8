import { describe, expect, it } from 'vitest';
import { parsePythonLiteral, pythonRepresentation } from './python-literal.js';
import { PythonRandom } from './python-random.js';
import { DocumentTemplate } from './template.js';

const document = {
  sentence: `Ann's "x" _ ran _ off.`,
  option1: 'cat',
  answer: '1',
  passed: true,
  nothing: null,
  choices: { text: ["it's", 'he said "a"', 'both \'"', 'back\\s', 'né\n'], label: ['A', 'B', 'C', 'D', 'E'] },
};
const render = (template: string) => new DocumentTemplate(template).render(document);

describe('templates of task files', () => {
  it.each([
    // What Jinja 3.1 renders of the same document.
    ['Question: {{sentence}}\nAnswer:', `Question: Ann's "x" _ ran _ off.\nAnswer:`],
    ['{{choices.label.index("C")}}', '2'],
    ['{{ {"1": 0, "2": 1}[answer] }}', '0'],
    ['{{passed}} {{nothing}} {{passed|int}}', 'True None 1'],
    ['{{sentence.index("_")}} {{sentence.find("q")}} {{sentence.count("_")}}', '10 -1 2'],
    [`{{sentence.split('_', 1)[1].strip()}}`, 'ran _ off.'],
    ['{{choices.label}}', "['A', 'B', 'C', 'D', 'E']"],
    [
      '{% for i in range(3) %}{{choices.label[i]}}. {{choices.text[i]}}\n{% endfor %}',
      `A. it's\nB. he said "a"\nC. both '"\n`,
    ],
    ['{% if passed %}  yes\n{% endif %}\n', '  yes\n\n'],
    ['{{sentence|regex_replace("[a-z]+", "z")}}', `Az'z "z" _ z _ z.`],
  ])('%s', (template, text) => {
    expect(render(template)).toBe(text);
  });

  it('give the choices back as they were', () => {
    expect(parsePythonLiteral(render('{{choices.text}}'))).toEqual(document.choices.text);
    expect(pythonRepresentation(document.choices.text)).toBe(
      `["it's", 'he said "a"', 'both \\'"', 'back\\\\s', 'né\\n']`,
    );
    expect(parsePythonLiteral(`["a", ('b\\x41\\u00e9', 2, -1.5), True, None, [],]`)).toEqual([
      'a',
      ['bAé', 2, -1.5],
      true,
      null,
      [],
    ]);
    for (const broken of ['[1, 2', '"a', 'a + b', '[1] 2', ''])
      expect(() => parsePythonLiteral(broken)).toThrow('expected');
  });

  it('refuse what the document does not have', () => {
    expect(() => render('{{missing}}')).toThrow('does not have');
    expect(() => render('{{choices.label.index("Z")}}')).toThrow("Z is not in ['A'");
    expect(() => render('{% if %}')).toThrow();
  });
});

describe('the random numbers of worked examples', () => {
  it('are those of Python', () => {
    const numbers = (length: number) => Array.from({ length }, (_, i) => i);
    // random.seed(1234), then random.sample(range(n), k)
    const random = new PythonRandom(1234);
    expect(random.sample(numbers(7473), 5)).toEqual([6374, 3610, 957, 61, 742]);
    expect(random.sample(numbers(7473), 5)).toEqual([7462, 6610, 4769, 286, 5501]);
    expect(random.sample(numbers(7473), 5)).toEqual([5677, 687, 806, 6279, 2905]);
    expect(random.sample(numbers(10), 3)).toEqual([3, 0, 8]);
    expect(random.sample(numbers(50), 6)).toEqual([1, 22, 41, 39, 30, 46]);
  });
});
