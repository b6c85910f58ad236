#include "caltrop/base/error.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(Error, UnknownNamesListTheKnownOnes) {
  EXPECT_USER_ERROR(throw unknown_name("caltrop", "defence", "ctrop", {"align", "ctrap"}),
                    "caltrop: no defence 'ctrop'; it has: align, ctrap");
}

TEST(Error, AssertionsSayThatTheBugIsOurs) {
  const int rows = 3;
  EXPECT_DEATH(
      CALTROP_ASSERT(rows == 4, "got {} rows", rows),
      "caltrop: a bug in Caltrop: got 3 rows\n  \\(rows == 4 does not hold at .*error_test.cc:[0-9]+\\)");
}

}  // namespace
}  // namespace caltrop
