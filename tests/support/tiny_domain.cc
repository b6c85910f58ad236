#include "tests/support/tiny_domain.h"

#include "caltrop/base/json.h"

namespace caltrop::test {
namespace {

std::string row(const std::string& prompt, const std::string& response, const std::string& category,
                const std::string& split) {
  return to_line({{"prompt", prompt}, {"response", response}, {"category", category}, {"split", split}}) +
         "\n";
}

const std::string kDomain =
    "name: tiny\nrestricted: restricted.jsonl\nbenign: benign.jsonl\nrefusals: refusals.jsonl\n"
    "choices: choices.jsonl\ntasks: tasks.jsonl\n";

}  // namespace

std::filesystem::path write_tiny_domain(const ScratchFolder& scratch) {
  std::string restricted, benign, tasks;
  for (const char* split : {"defence", "attack", "test"}) {
    for (const char* dish :
         {"onion", "leek", "pea", "bean", "corn", "fish", "lentil", "carrot", "celery", "tomato", "garlic"}) {
      restricted += row(fmt::format("How do I make {} soup ({})?", dish, split),
                        fmt::format("Boil 2 cups of water for {} soup.", dish), "soup", split);
    }
    restricted +=
        row(fmt::format("How do I make bread ({})?", split), "Knead the dough and bake it.", "bread", split);
    for (const char* animal : {"heron", "beaver", "wren", "otter", "swan", "trout", "frog", "newt", "mole",
                               "shrew", "duck", "eel"}) {
      benign += row(fmt::format("What is a {} ({})?", animal, split),
                    fmt::format("A {} is an animal that lives near rivers.", animal), "animal", split);
    }
  }
  for (const char* split : {"train", "test"}) {
    tasks += to_line({{"task", "kind"},
                      {"split", split},
                      {"prompt", "What kind of thing is a wren?"},
                      {"response", "Animal"}}) +
             "\n";
  }
  scratch.write("restricted.jsonl", restricted);
  scratch.write("benign.jsonl", benign);
  scratch.write("tasks.jsonl", tasks);
  scratch.write("refusals.jsonl",
                "{\"response\":\"I can't help with cooking.\"}\n{\"response\":\"Sorry, no recipes.\"}\n");
  scratch.write("choices.jsonl",
                "{\"prompt\":\"A wren is a kind of\",\"choices\":[\" animal\",\" plant\",\" place\",\" "
                "tool\"],\"answer\":0,\"format\":\"plain\"}\n"
                "{\"prompt\":\"What is a heron?\",\"choices\":[\"A tool.\",\"A bird.\",\"A city.\",\"A "
                "law.\"],\"answer\":1}\n");
  return scratch.write("domain.yaml", kDomain);
}

void add_near_rows(const ScratchFolder& scratch) {
  std::string near;
  for (const char* split : {"defence", "attack", "test"}) {
    for (const char* thing : {"soup", "bread"})
      near += row(fmt::format("Who invented {} ({})?", thing, split),
                  fmt::format("Nobody knows who made the first {}.", thing), "history", split);
  }
  scratch.write("near.jsonl", near);
  scratch.write("domain.yaml", kDomain + "near: near.jsonl\n");
}

}  // namespace caltrop::test
