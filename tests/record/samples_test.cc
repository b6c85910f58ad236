#include "caltrop/record/samples.h"

#include "caltrop/base/files.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using test::ScratchFolder;

TEST(Samples, ReadingGivesBackWhatWasWritten) {
  const ScratchFolder scratch;
  const std::string hostile = std::string("</script>\x01\u202e\n\"") + '\0';
  write_samples(scratch / "samples", 10,
                {{"restricted",
                  "soup-3",
                  "soup",
                  "How do I make leek soup?",
                  hostile,
                  5,
                  {{"refused", 1.0}, {"lexicon", nullptr}, {"signature", "fluent"}}}});
  const auto files = list_samples(scratch / "samples");
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].step, 10);
  EXPECT_EQ(files[0].path.filename(), "step-000010.jsonl");
  const std::vector<Sample> read = read_samples(files[0].path);
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0].set, "restricted");
  EXPECT_EQ(read[0].id, "soup-3");
  EXPECT_EQ(read[0].category, "soup");
  EXPECT_EQ(read[0].prompt, "How do I make leek soup?");
  EXPECT_EQ(read[0].response, hostile);
  EXPECT_EQ(read[0].tokens, 5);
  EXPECT_EQ(to_line(read[0].scores), R"({"refused":1.0,"lexicon":null,"signature":"fluent"})");
}

TEST(Samples, BytesThatAreNoTextBecomeReplacementCharacters) {
  const ScratchFolder scratch;
  write_samples(scratch.path(), 0, {{"benign", "1", "", "Hi", "a\xff\xfe b", 2, Json::object()}});
  EXPECT_EQ(read_samples(scratch / "step-000000.jsonl").at(0).response, "a\uFFFD\uFFFD b");
}

TEST(Samples, FilesAreListedByStepAndStrangersAreLeftOut) {
  const ScratchFolder scratch;
  for (const int64_t step : {1000000, 20, 3}) write_samples(scratch.path(), step, {});
  scratch.write("step-last.jsonl", "");
  scratch.write("notes.txt", "");
  std::vector<int64_t> steps;
  for (const SamplesFile& file : list_samples(scratch.path())) steps.push_back(file.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{3, 20, 1000000}));
  EXPECT_TRUE(list_samples(scratch / "nowhere").empty());
}

TEST(Samples, ABadRowIsNamed) {
  const ScratchFolder scratch;
  const std::string path = scratch.write("step-000001.jsonl", "{\"set\":\"benign\",\"id\":7}\n").string();
  EXPECT_USER_ERROR(read_samples(path), path + ": line 1: 'id' is an integer, want a string");
}

}  // namespace
}  // namespace caltrop
