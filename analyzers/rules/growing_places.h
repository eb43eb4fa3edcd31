// SPDX-License-Identifier: Apache-2.0
// Places whose live bytes grow through the whole recording, and what can be said about why: for the rules on leaks and on growth, which
// share them out between each other. One place per function and fate.
#pragma once
#include <vector>

#include "analyzers/rules/heap_places.h"

namespace tailback::analyzers {

enum class Fate {
  lost,     // most blocks of the place are freed soon, a part never: somebody forgot those
  kept,     // a container holds them, or the program freed them when it ended
  unknown,  // never freed; held or lost, the sums do not tell
};

struct GrowingPlace {
  HeapPlace place;
  Growth growth;                 // of live bytes
  Fate fate = Fate::unknown;
  double released_at_end = 0;    // bytes
  double freed_part = 0;         // of its blocks, while the program worked
  double life = 0;               // median of freed blocks, seconds; 0 not known
};

struct GrowingPlaces {
  std::string missing;           // not empty: why nothing can be said
  std::vector<GrowingPlace> places;  // fastest growth first
  double fastest = 0;            // bytes a second of all the heap, for the text of a rule that found nothing
};
GrowingPlaces growing_places(const Model& model);

// How bad it is that memory grows by so much: by the time that is left, and by what it made of the process already.
struct Urgency { double medium = 0, high = 0; };  // seconds left
Severity severity_of_growth(const Model& model, double bytes_per_second, double grown, const Urgency& urgency);

// Rate with its interval, and what it leads to: shared wording.
std::string rate_text(const Growth& growth);
std::vector<Evidence> growth_evidence(const Model& model, const GrowingPlace& growing);

}  // namespace tailback::analyzers
