#include "cli/bundled_texts.h"

namespace remuda::cli {

const std::vector<std::string>& bundled_texts() {
  static const std::vector<std::string> texts = {
      // Horses and cattle work.
      "A remuda is the herd of saddle horses from which ranch hands choose their mounts for the day.",
      "Horses can sleep standing up.",
      "Adult horses have between 36 and 44 teeth.",
      "Foals stand within hours of birth.",
      "On long drives a cowboy changed mounts several times a day, because cutting and roping tire a horse quickly.",
      "The wrangler brought the spare horses in before sunrise, and each rider roped one from the rope corral.",
      // Astronomy.
      "Light from the Sun reaches the Earth in a little over eight minutes.",
      "Saturn's rings are mostly water ice.",
      "A day on Venus is longer than its year.",
      "Neutron stars pack more than the mass of the Sun into a sphere about twenty kilometres across, so that a "
      "teaspoon of their matter would weigh billions of tonnes.",
      "The Moon always shows us the same face, since it turns once on its axis in the time of one orbit.",
      "Jupiter is the largest planet.",
      // Food and cooking.
      "Bread rises because yeast ferments sugar and gives off carbon dioxide.",
      "Salt the water before the pasta goes in.",
      "Fresh coriander tastes of soap to people with a certain variant of an olfactory receptor gene.",
      "Browning meat over high heat gives flavour through the Maillard reaction between amino acids and sugars.",
      "Let the dough rest overnight.",
      "To keep a sauce from splitting, take the pan off the heat before stirring in the cream, and add it slowly.",
      // Medicine and the body.
      "The heart of a resting adult beats sixty to a hundred times a minute.",
      "Vaccines train the immune system to recognise a pathogen before it meets the real one.",
      "Antibiotics do not work against viruses.",
      "Regular sleep improves memory and concentration.",
      "Insulin lets the body's cells take up sugar from the blood; in type 1 diabetes the pancreas makes hardly any, "
      "and it has to be injected.",
      "Bone heals.",
      // Computing.
      "A mutex lets one thread at a time into a critical section.",
      "A connection pool keeps a bounded number of connections open and lends them to requests one after another.",
      "Memory-mapped files let several processes share the same pages.",
      "Deadlock needs four conditions at once: mutual exclusion, hold and wait, no preemption, and circular wait.",
      "Caching trades memory for time.",
      "Quantisation stores the weights of a neural network in eight bits instead of thirty-two, which makes the model "
      "smaller and, on processors with integer dot products, several times faster.",
      // Economics.
      "Central banks raise interest rates to slow inflation.",
      "Prices rise when demand outgrows supply.",
      "A bond's price falls when interest rates go up.",
      "The stock market fell sharply after the company had cut its forecast for the year.",
      "Compound interest made small savings large over forty years.",
      // Geography and weather.
      "The Nile flows north into the Mediterranean Sea.",
      "Iceland lies on the ridge where the North American and the Eurasian plates drift apart.",
      "Monsoon rains bring most of India's water within four months.",
      "Warm air holds more moisture than cold air, and so clouds form where it rises and cools.",
      "It rarely rains in the Atacama Desert.",
      "Mount Everest grows by a few millimetres a year as the Indian plate pushes into Asia.",
      // Music and art.
      "A string quartet has two violins, a viola and a cello.",
      "Beethoven wrote his ninth symphony when he was almost completely deaf.",
      "Blue was once the dearest of pigments: ultramarine came from lapis lazuli, which was mined in Afghanistan and "
      "carried by caravan and ship to the painters of Venice.",
      "Jazz musicians improvise over chord changes.",
      "The cellist tuned her instrument.",
      // Sport.
      "A marathon is 42.195 kilometres long.",
      "The goalkeeper saved two penalties.",
      "Offside means that an attacker is nearer to the goal line than the ball and the second-last defender when the "
      "pass is played.",
      "She won the race by a hundredth of a second.",
      // History.
      "Gutenberg printed with movable type in Mainz around 1450.",
      "The Berlin Wall fell in November 1989.",
      "The Rosetta Stone carries one decree in hieroglyphs, in Demotic and in Greek, which is how Champollion came to "
      "read the writing of the pharaohs.",
      "Rome was not built in a day.",
      // Nature.
      "Honeybees tell each other by dancing where flowers are.",
      "Octopuses have three hearts and blue blood.",
      "Oak trees live for centuries.",
      "Salmon return from the ocean to the river in which they hatched, and find it by its smell.",
      "Photosynthesis turns carbon dioxide and water into sugar and oxygen, with the energy of sunlight.",
      "Bats hunt moths in the dark by listening for the echoes of their own calls.",
      // Everyday life.
      "The train to the airport leaves every twenty minutes.",
      "Please close the window before you go.",
      "My neighbour's dog barks whenever the post arrives.",
      "He lost his keys again and waited on the stairs until his sister came home.",
  };
  return texts;
}

const std::vector<std::string>& bundled_queries() {
  static const std::vector<std::string> queries = {
      "How can many requests share a few database connections?",
      "Which animals find their way without seeing?",
      "Why does bread become fluffy?",
      "Why did my bonds lose value?",
  };
  return queries;
}

const std::vector<std::string>& bundled_documents() {
  static const std::vector<std::string> documents = {
      "This program watches the directories that it is given and copies every file that changes to another machine "
      "over "
      "an encrypted connection. It keeps older versions for as long as there is room for them, so that a file which "
      "was "
      "overwritten or deleted by mistake can be brought back with one command.",
      "A game in which the player builds a railway across a wild country. Rivers have to be bridged and hills dug "
      "through before the money of the investors is spent. Up to four people can play against each other over the "
      "network, and new maps are made with the editor that comes with the game.",
      "The library reads and writes pictures in more than thirty formats, among them PNG, JPEG and TIFF. It scales, "
      "turns and crops them, converts between colour spaces and uses all cores of the processor for it. These are the "
      "files that are needed to compile programs which use the library.",
  };
  return documents;
}

}  // namespace remuda::cli
