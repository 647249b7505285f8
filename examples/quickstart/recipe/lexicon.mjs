/**
 * The words of the small world in which the base model lives. Every list is used in the base corpus; for the task, each
 * is cut in two (`split`), so that held-out commands name things that no training command names.
 */
const words = (text) => text.trim().split(/\s*,\s*/);

export const names =
  words(`Ana, Ben, Clara, David, Elif, Farid, Grace, Hugo, Ines, Jonas, Karim, Lena, Marco, Nadia, Oscar,
  Paula, Quinn, Rosa, Samir, Tara, Umar, Vera, Walter, Xenia, Yusuf, Zoe, Alma, Bruno, Carmen, Dario, Emil, Flora, Gustav,
  Hanna, Ivan, Julia, Klaus, Linda, Milan, Nora, Olga, Peter, Ravi, Sofia, Tomas, Ursula, Viktor, Wanda, Yara, Zeno`);

export const groceries =
  words(`milk, oat milk, eggs, brown eggs, rye bread, bread, butter, salt, black pepper, olive oil,
  flour, sugar, brown sugar, honey, rice, brown rice, pasta, lentils, red lentils, chickpeas, green beans, tomatoes, onions,
  red onions, garlic, carrots, celery, spinach, potatoes, sweet potatoes, apples, green apples, pears, plums, figs, grapes,
  lemons, limes, oranges, bananas, cherries, almonds, walnuts, raisins, yoghurt, cream, goat cheese, cheese, tofu, salmon,
  tuna, chicken, ham, mushrooms, basil, parsley, ginger, cinnamon, green tea, coffee, apple juice, soap, paper towels,
  candles, batteries, light bulbs, dish soap, cat food, dog food, bird seed, oats, corn, peas, leeks, radishes, vinegar,
  mustard, soy sauce, dark chocolate, jam`);

export const rooms =
  words(`kitchen, bedroom, living room, bathroom, hallway, attic, cellar, garage, office, library, dining room,
  guest room, laundry room, nursery, studio, workshop, balcony, porch, greenhouse, music room`);

export const devices = words(`lamp, floor lamp, desk lamp, ceiling light, fan, heater, radio, television, kettle, oven,
  coffee machine, dishwasher, washing machine, dryer, air filter, humidifier, projector, printer, speaker, night light,
  electric blanket, garden pump, fountain, alarm, doorbell, freezer, toaster, vacuum, mirror light, fireplace`);

export const adjectives =
  words(`silver, golden, quiet, wild, broken, gentle, distant, hidden, lonely, bright, little, empty,
  burning, frozen, winter, summer, blue, green, crimson, velvet, paper, midnight, morning, endless`);

export const nouns =
  words(`river, mountain, garden, window, mirror, engine, harbour, island, forest, bridge, candle, shadow,
  letter, street, ocean, valley, tower, feather, horizon, carousel, lantern, sparrow, meadow, station`);

export const chores = words(`water the ferns, feed the cat, feed the fish, call the dentist, pay the rent, wash the car,
  return the books, clean the windows, post the letter, empty the bins, fix the gate, charge the phone, buy a gift,
  iron the shirts, sweep the porch, walk the dog, change the filter, renew the passport, sharpen the knives, mow the lawn,
  paint the fence, bake a cake, order the tickets, check the tyres, fold the towels, clean the oven, visit the bank,
  collect the parcel, trim the roses, book the hotel, dust the shelves, repair the chair`);

export const news = words(`the train is late, dinner is ready, the meeting is over, the keys are in the drawer,
  the shop is closed, the car is fixed, the package has arrived, the water is cold, the film starts soon, the bus is full,
  the door is open, the cat is asleep, the plan has changed, the tickets are sold out, the soup is too hot,
  the garden needs rain, the lift is broken, the roof is wet, the guests are here, the bill is paid, the road is icy,
  the phone is charging, the cake is done, the lesson is at noon, the match is cancelled, the printer is jammed,
  the dog is outside, the paint is dry, the concert was great, the boat leaves early`);

export const days = words('Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday');
export const lists = words('shopping, packing, party, weekend, camping, office, garden, holiday, picnic, school');
export const foods =
  words(`rice, pasta, eggs, bread, tea, cake, pizza, soup, potatoes, cookies, stew, chicken, beans, porridge,
  salmon, muffins, dumplings, pie, roast, coffee`);
export const cities =
  words(`Lyon, Porto, Turin, Ghent, Basel, Bergen, Malmo, Riga, Gdansk, Graz, Split, Izmir, Fez, Tunis,
  Dakar, Accra, Nairobi, Pune, Hanoi, Osaka, Busan, Perth, Quito, Lima, Havana, Boston, Denver, Toronto, Leeds, Cork`);
export const animals =
  words(`cat, dog, fox, otter, heron, owl, badger, goat, horse, rabbit, sparrow, turtle, hedgehog, donkey,
  lizard, crow, swan, mouse, beaver, deer`);
export const colours = words('red, blue, green, yellow, white, black, brown, grey, orange, purple, pink, silver');
export const jobs =
  words(`baker, nurse, teacher, plumber, painter, farmer, pilot, doctor, librarian, carpenter, cook, gardener,
  driver, judge, tailor, barber, singer, engineer, fisher, guard`);
export const objects =
  words(`mug, key, book, scarf, coin, lantern, umbrella, basket, hammer, violin, blanket, bottle, map, clock,
  bucket, ladder, brush, helmet, guitar, teapot, pillow, ticket, camera, pencil`);

/**
 * The parts of a list: every fourth member (in a fixed order) is held out of the task's training rows. To try out recipes,
 * training rows are cut again: `fit` and, every fourth member, `validation`; the held-out rows have no say in a recipe.
 * `shown` rows, which stand in a prompt as worked examples, are training rows in which nothing is invented.
 */
export function split(list) {
  const train = list.filter((_, i) => i % 4 !== 1);
  return {
    train,
    shown: train,
    fit: list.filter((_, i) => i % 2 === 0),
    validation: list.filter((_, i) => i % 4 === 3),
    heldOut: list.filter((_, i) => i % 4 === 1),
  };
}
