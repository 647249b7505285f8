import type { Word } from '../text/words.js';

/** Scripts that one language, or hardly more, is written in. Japanese before Han: it uses both. */
const scripts: readonly (readonly [language: string, script: RegExp])[] = [
  ['ja', /[\p{Script=Hiragana}\p{Script=Katakana}]/u],
  ['zh', /\p{Script=Han}/u],
  ['ko', /\p{Script=Hangul}/u],
  ['th', /\p{Script=Thai}/u],
  ['el', /\p{Script=Greek}/u],
  ['he', /\p{Script=Hebrew}/u],
  ['hi', /\p{Script=Devanagari}/u],
  ['ar', /\p{Script=Arabic}/u],
  ['ka', /\p{Script=Georgian}/u],
  ['hy', /\p{Script=Armenian}/u],
  ['ta', /\p{Script=Tamil}/u],
  ['bn', /\p{Script=Bengali}/u],
  ['uk', /[іїєґ]/u],
  ['ru', /\p{Script=Cyrillic}/u],
];

/** Frequent function words, those that few other languages share first. */
const functionWords: Readonly<Record<string, string>> = {
  en: 'the and of to is in what how do my i you for can are it that with on me be have this please where when who why',
  de: 'der die das und ist ich nicht ein eine wie was mein zu von mit auf für den wo wann kann bitte es sie wir dem',
  fr: 'le la les et est je ne pas un une que quoi comment mon ma de du des pour avec sur où quand puis vous il à au',
  es: 'el la los las y es yo no un una que qué cómo mi de del para con en dónde cuándo puedo por favor se está lo',
  it: 'il lo la gli e è io non un una che cosa come mio di del della per con su dove quando posso sono si ho mi',
  pt: 'o a os as e é eu não um uma que como meu minha de do da para com em onde quando posso por você se está no na',
  nl: 'de het een en is ik niet wat hoe mijn van voor met op waar wanneer kan je dat zijn er aan te',
  sv: 'det och är jag inte en ett vad hur min av för med på var när kan du att som den har till om',
  pl: 'i jest nie to co jak mój moja w z na do się gdzie kiedy czy mogę proszę ja o po za',
  tr: 'bir ve bu ne nasıl mi mı için ile benim nerede zaman ben da de var yok çok',
  vi: 'là và của tôi không một có gì làm thế nào cho với ở đâu khi được bạn',
  id: 'yang dan di ini itu apa bagaimana saya tidak untuk dengan ke dari mana kapan bisa ada',
};

const languagesOf = new Map<string, string[]>();
for (const [language, words] of Object.entries(functionWords)) {
  for (const word of new Set(words.split(' '))) languagesOf.set(word, [...(languagesOf.get(word) ?? []), language]);
}

/**
 * The language of a text as its ISO 639-1 code: by script, or for Latin letters by function words, each counting the less
 * the more languages use it. `und` (undetermined) when nothing tells.
 */
export function languageOf(words: readonly Word[]): string {
  const text = words.map((word) => word.text).join(' ');
  for (const [language, script] of scripts) if (script.test(text)) return language;
  const scores = new Map<string, number>();
  for (const word of words) {
    const languages = languagesOf.get(word.text) ?? [];
    for (const language of languages) scores.set(language, (scores.get(language) ?? 0) + 1 / languages.length);
  }
  let best = 'und';
  let highest = 0;
  for (const [language, score] of scores) if (score > highest) [best, highest] = [language, score];
  return best;
}
