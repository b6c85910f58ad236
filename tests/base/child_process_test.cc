#include "caltrop/base/child_process.h"

#include <chrono>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

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
      shell("read a; echo 1; sleep 60").ask({"a", "b"}, 0.2),
      "test: the program 'sh -c read a; echo 1; sleep 60' answered 1 of 2 lines and then said nothing for "
      "0.2 s; does it flush its output after each line?");
  EXPECT_USER_ERROR(
      shell("read a; printf '1\\n2\\n'; read b").ask({"a"}, 10),
      "test: the program 'sh -c read a; printf '1\\n2\\n'; read b' said '2' without being asked; "
      "want one line to each");
}

TEST(ChildProcess, AProgramThatSpeaksFirstIsFoundOut) {
  ChildProcess chatty = shell("echo ready; read a; echo 1");
  const auto until_it_speaks = [&] {
    for (int i = 0; i < 1000; ++i) {
      chatty.ask({}, 10);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  };
  EXPECT_USER_ERROR(until_it_speaks(),
                    "test: the program 'sh -c echo ready; read a; echo 1' said 'ready' without being asked; "
                    "want one line to each");
}

TEST(ChildProcess, WhatTheProgramHasStartedEndsWithIt) {
  const test::ScratchFolder scratch;
  const std::string pipe = (scratch / "pipe").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  pollfd open_at_others = {open(pipe.c_str(), O_RDONLY | O_NONBLOCK), POLLIN, 0};
  {
    ChildProcess script = shell("exec 3> " + pipe + "; sleep 60 & read a; echo 1; wait");
    script.ask({"a"}, 10);
    EXPECT_EQ(poll(&open_at_others, 1, 0), 0);
  }
  EXPECT_EQ(poll(&open_at_others, 1, 30000), 1) << "sleep still runs";
  EXPECT_NE(open_at_others.revents & POLLHUP, 0);
  close(open_at_others.fd);
}

TEST(ChildProcess, WhoIgnoresTheAskingIsEndedAllTheSame) {
  const test::ScratchFolder scratch;
  const std::string pipe = (scratch / "pipe").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  pollfd open_at_others = {open(pipe.c_str(), O_RDONLY | O_NONBLOCK), POLLIN, 0};
  {
    // The program itself has ended; what it has started has its output open and ignores SIGTERM.
    ChildProcess script = shell("exec 3> " + pipe + "; (trap '' TERM; read a; sleep 60) & read a; echo 1");
    script.ask({"a"}, 10);
  }
  EXPECT_EQ(poll(&open_at_others, 1, 30000), 1) << "it still runs";
  EXPECT_NE(open_at_others.revents & POLLHUP, 0);
  close(open_at_others.fd);
}

TEST(ChildProcess, BytesWithoutAnEndOfLineAreNoAnswer) {
  const std::string dribble = "while sleep 0.05; do printf .; done";
  EXPECT_USER_ERROR(
      shell(dribble).ask({"a"}, 0.4),
      "test: the program 'sh -c " + dribble +
          "' answered 0 of 1 lines and then said nothing for 0.4 s; does it flush its output after "
          "each line?");
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
