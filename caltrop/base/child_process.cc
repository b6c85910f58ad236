#include "caltrop/base/child_process.h"

#include <csignal>
#include <utility>

#include <uv.h>

#include "caltrop/base/error.h"

namespace caltrop {

/// The handles of libuv and what its callbacks, which reach it through `data`, have found out. It never moves.
struct ChildProcess::Loop {
  std::vector<std::string> command;
  std::string who;
  uv_loop_t loop;
  uv_process_t process = {};
  uv_pipe_t input, output;  // of the program
  uv_timer_t patience;

  std::vector<std::string> said;  // complete lines of the present answer
  std::string partial;
  char buffer[65536];
  bool unwritten = false, silent = true, hangs = false, ended = true;
  int64_t exit_code = 0;
  int signal = 0;

  Loop(std::vector<std::string> words, std::string asker) : command(std::move(words)), who(std::move(asker)) {
    std::signal(SIGPIPE, SIG_IGN);  // a program that ends while it is written to is reported, not died of
    uv_loop_init(&loop);
    uv_pipe_init(&loop, &input, 0);
    uv_pipe_init(&loop, &output, 0);
    uv_timer_init(&loop, &patience);
    process.data = input.data = output.data = patience.data = this;
  }
  ~Loop() {
    end();
    const auto close = [](uv_handle_t* handle, void*) {
      if (!uv_is_closing(handle)) uv_close(handle, nullptr);
    };
    uv_walk(&loop, close, nullptr);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  std::string name() const { return fmt::format("{}: the program '{}'", who, join(command, " ")); }
  void turn() { uv_run(&loop, UV_RUN_ONCE); }
  /// The program and what it has started: a script's interpreter must not outlive the script.
  void kill_all(int signal_number) { uv_kill(-process.pid, signal_number); }

  /// Whether nobody of the program is left, as far as one can see from here: who has its output open may be one it has started.
  bool gone() const { return ended && silent; }
  /// Asks all to end, waits a moment, then ends who is left, and waits for the program itself, so that no zombie stays.
  void end() {
    if (gone()) return;
    kill_all(SIGTERM);
    hangs = false;
    uv_update_time(&loop);
    uv_timer_start(&patience, on_impatience, /*milliseconds=*/2000, 0);
    while (!gone() && !hangs) turn();
    uv_timer_stop(&patience);
    if (!gone()) kill_all(SIGKILL);
    while (!ended) turn();
  }

  static Loop& of(void* data) { return *static_cast<Loop*>(data); }
  static void on_exit(uv_process_t* handle, int64_t code, int signal) {
    Loop& self = of(handle->data);
    self.ended = true, self.exit_code = code, self.signal = signal;
  }
  static void on_room(uv_handle_t* handle, size_t, uv_buf_t* out) {
    *out = uv_buf_init(of(handle->data).buffer, sizeof(Loop::buffer));
  }
  static void on_output(uv_stream_t* stream, ssize_t count, const uv_buf_t* bytes) {
    Loop& self = of(stream->data);
    if (count < 0) {
      self.silent = true;
      uv_read_stop(stream);
      return;
    }
    for (ssize_t i = 0; i < count; ++i) {
      if (bytes->base[i] == '\n') {
        uv_timer_again(&self.patience);  // bytes that end no line are no answer
        self.said.push_back(std::exchange(self.partial, {}));
      } else {
        self.partial += bytes->base[i];
      }
    }
  }
  static void on_written(uv_write_t* request, int) { of(request->data).unwritten = false; }
  static void on_impatience(uv_timer_t* timer) { of(timer->data).hangs = true; }
};

ChildProcess::ChildProcess(std::vector<std::string> command, std::string who)
    : loop_(std::make_unique<Loop>(std::move(command), std::move(who))) {
  Loop& l = *loop_;
  CALTROP_ASSERT(!l.command.empty(), "no command");
  std::vector<char*> arguments;
  for (std::string& word : l.command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  uv_stdio_container_t channels[3];
  channels[0].flags = static_cast<uv_stdio_flags>(UV_CREATE_PIPE | UV_READABLE_PIPE);
  channels[0].data.stream = reinterpret_cast<uv_stream_t*>(&l.input);
  channels[1].flags = static_cast<uv_stdio_flags>(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
  channels[1].data.stream = reinterpret_cast<uv_stream_t*>(&l.output);
  channels[2].flags = UV_INHERIT_FD;
  channels[2].data.fd = 2;
  uv_process_options_t options = {};
  options.file = arguments[0];
  options.args = arguments.data();
  options.stdio = channels;
  options.stdio_count = 3;
  options.exit_cb = Loop::on_exit;
  options.flags = UV_PROCESS_DETACHED;  // leader of a group of its own, see kill_all
  const int status = uv_spawn(&l.loop, &l.process, &options);
  if (status < 0) throw UserError("{} cannot be started: {}", l.name(), uv_strerror(status));
  l.ended = l.silent = false;
  uv_read_start(reinterpret_cast<uv_stream_t*>(&l.output), Loop::on_room, Loop::on_output);
}

ChildProcess::~ChildProcess() = default;

std::vector<std::string> ChildProcess::ask(const std::vector<std::string>& lines, double seconds) {
  Loop& l = *loop_;
  const auto unasked = [&](size_t expected) {
    if (l.said.size() > expected)
      throw UserError("{} said '{}' without being asked; want one line to each", l.name(), l.said[expected]);
  };
  uv_run(&l.loop, UV_RUN_NOWAIT);
  unasked(0);
  std::string all;
  for (const std::string& line : lines) all += line + '\n';
  const uv_buf_t bytes = uv_buf_init(all.data(), static_cast<unsigned>(all.size()));
  uv_write_t request;  // lives until on_written
  request.data = &l;
  l.unwritten =
      uv_write(&request, reinterpret_cast<uv_stream_t*>(&l.input), &bytes, 1, Loop::on_written) == 0;

  const size_t want = lines.size();
  const auto patience = static_cast<uint64_t>(seconds * 1000);
  uv_update_time(&l.loop);  // it stood still since the last question
  uv_timer_start(&l.patience, Loop::on_impatience, patience, patience);
  while ((l.said.size() < want || l.unwritten) && !l.silent && !l.hangs) l.turn();
  while (l.silent && !l.ended && !l.hangs) l.turn();  // its exit code belongs into the message
  uv_timer_stop(&l.patience);

  const size_t got = l.said.size();
  if (got < want || l.unwritten) {
    if (!l.gone()) l.kill_all(SIGKILL);
    if (l.unwritten)
      uv_close(reinterpret_cast<uv_handle_t*>(&l.input), nullptr);  // who left the group may hold it open
    while (l.unwritten || !l.ended) l.turn();
    if (l.hangs) {
      throw UserError(
          "{} answered {} of {} lines and then said nothing for {} s; does it flush its output after each "
          "line?",
          l.name(), got, want, seconds);
    }
    throw UserError(
        "{} ended {} after {} of {} lines of answer", l.name(),
        l.signal != 0 ? fmt::format("by signal {}", l.signal) : fmt::format("with exit code {}", l.exit_code),
        got, want);
  }
  unasked(want);
  return std::exchange(l.said, {});
}

}  // namespace caltrop
