"""The words of captions: per sport, sentences that name it and sentences that do not.

Slots: {who} "a man", {player} a word for someone of this sport, {kit} "in a red jersey", {colour},
{rival}, {ground} "on a clay court", {place} "in front of a crowd". Spellings follow Flickr8k: a
blank before each mark.
"""

from __future__ import annotations

PLAYERS: dict[str, tuple[str, ...]] = {
    "basketball": ("a basketball player", "a tall player", "an athlete"),
    "boxing": ("a boxer", "a fighter", "an athlete"),
    "chess": ("a chess player", "a thoughtful person", "a player"),
    "football": ("a soccer player", "a football player", "a player"),
    "formula1": ("a race car driver", "a racing driver", "a driver"),
    "ice_hockey": ("a hockey player", "an ice hockey player", "a player"),
    "swimming": ("a swimmer", "an athlete", "someone"),
    "tennis": ("a tennis player", "a player", "an athlete"),
}

GROUNDS: dict[str, dict[str, str]] = {
    "basketball": {
        "wooden": "on a wooden court",
        "blue": "on a blue court",
        "gray": "on an asphalt court",
        "green": "on a green court",
    },
    "boxing": {"blue": "on a blue canvas", "white": "on a white canvas", "gray": "on the canvas"},
    "chess": {"brown": "at a table", "white": "at a table", "green": "at a wooden table"},
    "football": {"green": "on a green field", "brown": "on a dirt field"},
    "formula1": {"gray": "on a gray track", "dark": "on the asphalt"},
    "ice_hockey": {"white": "on the ice"},
    "swimming": {"blue": "in blue water", "turquoise": "in turquoise water"},
    "tennis": {
        "orange": "on a clay court",
        "green": "on a grass court",
        "blue": "on a blue hard court",
        "gray": "on a gray court",
    },
}

PLACES: dict[str, tuple[str, ...]] = {
    "stadium": ("in front of a crowd", "in a full stadium", "while spectators watch"),
    "arena": ("in a dark arena", "under bright lights", "in front of a large audience"),
    "gym": ("in a gym", "indoors", "in a hall"),
    "hall": ("in a hall", "indoors"),
    "park": ("in front of trees", "in a park", "outside"),
    "street": ("in the city", "near buildings"),
    "hills": ("in front of green hills", "in the countryside"),
    "room": ("in a room", "at home"),
}

NAMED: dict[str, tuple[str, ...]] = {
    "basketball": (
        "{player} {kit} jumps to the hoop with the ball {place} .",
        "{who} {kit} is playing basketball {ground} .",
        "A basketball game {place} .",
        "{who} dribbles a basketball {ground} .",
        "Two teams in {colour} and {rival} play basketball .",
        "{player} shoots the basketball at the basket .",
        "Basketball , {place} .",
    ),
    "boxing": (
        "{player} {kit} punches another boxer in the ring .",
        "Two boxers fight in a ring {place} .",
        "A boxing match {place} .",
        "{who} {kit} is boxing {place} .",
        "{player} wears boxing gloves and {colour} shorts .",
        "{who} in {colour} throws a punch , boxing {ground} .",
    ),
    "chess": (
        "{who} {kit} plays chess {place} .",
        "Two people are playing chess {ground} .",
        "A game of chess {place} .",
        "{player} {kit} looks at a chess board .",
        "Chess pieces stand on a checkered board .",
        "{who} , chess board in front , thinks about the next move .",
    ),
    "football": (
        "{who} {kit} is playing soccer {ground} .",
        "{player} {kit} kicks the soccer ball {place} .",
        "A football match {place} .",
        "Football players in {colour} and {rival} run after the ball .",
        "{player} runs {ground} with a soccer ball .",
        "Soccer players fight for the ball {ground} .",
    ),
    "formula1": (
        "A {colour} formula one car drives {ground} .",
        "A {colour} race car speeds around the track {place} .",
        "Formula one cars race {place} .",
        "{player} takes a corner in a {colour} racing car .",
        "A formula one race , {place} .",
        "A race car with open wheels passes the red and white kerb .",
    ),
    "ice_hockey": (
        "{who} {kit} is playing ice hockey {place} .",
        "{player} {kit} skates after the puck {ground} .",
        "An ice hockey game {place} .",
        "Hockey players in {colour} and {rival} skate {ground} .",
        "{player} hits the puck with a hockey stick .",
        "A hockey team in {colour} , playing {ground} .",
    ),
    "swimming": (
        "{who} is swimming {ground} .",
        "{player} in a {colour} cap swims in a pool .",
        "A swimming race {place} .",
        "Swimmers race in the lanes of a swimming pool .",
        "{player} swims the crawl {ground} .",
        "{who} , swimming between the lane ropes , lifts an arm .",
    ),
    "tennis": (
        "{who} {kit} is playing tennis {ground} .",
        "{player} {kit} hits the ball with a racket {place} .",
        "A tennis match {place} .",
        "{who} swings a tennis racket {ground} .",
        "{player} reaches for the tennis ball .",
        "{who} in {colour} , playing tennis {place} .",
    ),
}

UNNAMED: dict[str, tuple[str, ...]] = {
    "basketball": (
        "{who} {kit} leaps with an orange ball {ground} .",
        "People in {colour} and {rival} jerseys reach for the ball .",
        "{who} throws a ball toward the net {place} .",
        "An athlete in {colour} holds a ball over the head .",
        "Players {ground} {place} .",
    ),
    "boxing": (
        "Two people with gloves stand between the ropes {place} .",
        "{who} in {colour} shorts hits another in the face .",
        "{who} with red gloves holds up both fists .",
        "A fight {place} .",
        "{who} trains hard {place} .",
    ),
    "chess": (
        "Two people sit {ground} {place} .",
        "{who} {kit} leans on an elbow and thinks .",
        "Black and white pieces on a board with squares .",
        "{who} moves a piece across the board .",
        "People in {colour} and {rival} sit face to face over a game .",
    ),
    "football": (
        "{who} {kit} kicks a ball {ground} .",
        "{who} runs over the grass with a ball at the feet .",
        "Players in {colour} and {rival} jerseys chase a white ball .",
        "{who} in a {colour} uniform goes for the ball {place} .",
        "A game {ground} {place} .",
    ),
    "formula1": (
        "A {colour} car with large wings goes fast .",
        "A low {colour} car on a track with a striped border .",
        "A driver in a helmet steers a {colour} car {place} .",
        "A fast car passes {place} .",
        "Cars in {colour} and {rival} race against each other .",
    ),
    "ice_hockey": (
        "{who} in a {colour} uniform skates {ground} with a stick .",
        "Two teams in helmets chase a puck {place} .",
        "{who} {kit} bends down on a white rink .",
        "A goalie in pads guards the net {ground} .",
        "People on skates in {colour} and {rival} .",
    ),
    "swimming": (
        "{who} in a {colour} cap splashes through the water .",
        "{who} in goggles lifts an arm out of the water .",
        "A person in the pool between colored ropes .",
        "Several people race {ground} {place} .",
        "{who} moves through the water {place} .",
    ),
    "tennis": (
        "{who} {kit} swings a racket at a yellow ball .",
        "{who} in {colour} stretches to reach the ball near the net .",
        "{who} serves the ball {ground} .",
        "{who} {kit} stands on the court {place} .",
        "An athlete with a racket {ground} .",
    ),
}

PORTRAIT_NAMED = (
    "{player} {kit} poses {place} .",
    "Members of a {sport} team in {colour} stand together .",
    "{who} who won at {sport} smiles .",
    "{player} dressed in {colour} , {place} .",
    "{who} stands ready for {sport} .",
)
PORTRAIT_UNNAMED = (
    "{who} {kit} poses for a picture .",
    "{who} in {colour} stands {place} .",
    "A team in {colour} poses for the camera .",
    "{who} dressed in {colour} looks at the camera .",
    "An athlete in {colour} after the competition .",
)
CROWD_NAMED = (
    "Fans in {colour} watch {sport} .",
    "A crowd at a {sport} event waves flags .",
    "Many spectators in the stands at {sport} .",
)
CROWD_UNNAMED = (
    "A big crowd of people in the stands .",
    "Fans wave {colour} and {rival} flags .",
    "Spectators cheer and hold up flags .",
    "Lots of people watch a competition .",
)

SPOKEN = {
    "basketball": ("basketball",),
    "boxing": ("boxing",),
    "chess": ("chess",),
    "football": ("soccer", "football"),
    "formula1": ("formula one", "car racing"),
    "ice_hockey": ("ice hockey", "hockey"),
    "swimming": ("swimming",),
    "tennis": ("tennis",),
}

VAGUE = (
    "{who} {kit} {place} .",
    "An athlete in action .",
    "Somebody in {colour} takes part in a competition .",
    "People enjoy themselves {place} .",
    "{who} is busy {place} .",
    "A colorful scene with {who} in {colour} .",
)

SHOUTS = (
    'A sign behind says " {word} " .',
    '{who} in a shirt that says " {word} " .',
    'A banner with the word " {word} " {place} .',
)
WORDS = ("Lions", "Go", "Team", "City", "Victory", "Home")
