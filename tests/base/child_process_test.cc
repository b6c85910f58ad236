#include "caltrop/base/child_process.h"

#include <chrono>
#include <thread>

#include "tests/support/support.h"

namespace caltrop {
namespace {

ChildProcess shell(const std::string& script) { return ChildProcess({"sh", "-c", script}, "test"); }

TEST(ChildProcess, AnswersLineByLineAsOftenAsItIsAsked) {
  ChildProcess echo({"cat"}, "test");
  EXPECT_EQ(echo.ask({"one", "", "three \"3\" ä"}, 10),
            (std::vector<std::string>{"one", "", "three \"3\" ä"}));
  EXPECT_EQ(echo.ask({}, 10), std::vector<std::string>());
  EXPECT_EQ(echo.ask({"again"}, 10), std::vector<std::string>{"again"});
}

TEST(ChildProcess, MoreThanAPipeHoldsGoesThroughInBothDirections) {
  const std::vector<std::string> lines(3000, std::string(1000, 'x'));  // 3 MB; a pipe holds 64 KB
  ChildProcess echo({"cat"}, "test");
  EXPECT_EQ(echo.ask(lines, 10), lines);
}

TEST(ChildProcess, LastLinesOfAProgramThatEndsAreRead) {
  ChildProcess twice = shell("read a; read b; echo $b; echo $a");
  EXPECT_EQ(twice.ask({"1", "2"}, 10), (std::vector<std::string>{"2", "1"}));
  EXPECT_USER_ERROR(
      twice.ask({"3"}, 10),
      "test: the program 'sh -c read a; read b; echo $b; echo $a' ended with exit code 0 after 0 of "
      "1 lines of answer");
}

TEST(ChildProcess, SaysWhatIsWrong) {
  EXPECT_USER_ERROR(ChildProcess({"no-such-program"}, "test"),
                    "test: the program 'no-such-program' cannot be started: no such file or directory");
  EXPECT_USER_ERROR(
      shell("read a; echo 1; exit 3").ask({"a", "b"}, 10),
      "test: the program 'sh -c read a; echo 1; exit 3' ended with exit code 3 after 1 of 2 lines "
      "of answer");
  EXPECT_USER_ERROR(shell("kill -9 $$").ask({"a"}, 10),
                    "test: the program 'sh -c kill -9 $$' ended by signal 9 after 0 of 1 lines of answer");
  EXPECT_USER_ERROR(
      shell("echo 1; sleep 60").ask({"a", "b"}, 0.2),
      "test: the program 'sh -c echo 1; sleep 60' answered 1 of 2 lines and then said nothing for "
      "0.2 s; does it flush its output after each line?");
  ChildProcess chatty = shell("echo ready; read a; echo 1; read b; echo 2");
  chatty.ask({"a"}, 10);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));  // by the second question it shows
  EXPECT_USER_ERROR(
      chatty.ask({"b"}, 10),
      "test: the program 'sh -c echo ready; read a; echo 1; read b; echo 2' said '1' without being asked; "
      "want one line to each");
}

TEST(ChildProcess, AProgramThatNeverReadsIsGivenUp) {
  const std::vector<std::string> lines(3000, std::string(1000, 'x'));
  EXPECT_USER_ERROR(
      shell("sleep 60").ask(lines, 0.2),
      "test: the program 'sh -c sleep 60' answered 0 of 3000 lines and then said nothing for 0.2 s; "
      "does it flush its output after each line?");
}

}  // namespace
}  // namespace caltrop
