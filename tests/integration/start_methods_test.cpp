// Workers that are forked from a zygote, and those that are spawned instead.

#include "process/worker_source.hpp"
#include "support/pool_fixture.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <fstream>

namespace snakepit::test {
namespace {

class StartMethods : public PoolTest {
protected:
    /// Modules of these tests begin with this; note() writes a line with the process's number into a file.
    static constexpr auto noting = R"(
import os, snakepit
def note(file):
    with open(os.environ['SNAKEPIT_TEST_SCRATCH'] + '/' + file, 'a') as f: f.write(f"{os.getpid()}\n")
@snakepit.tool
def me(): return os.getpid()
@snakepit.tool
def parent(): return os.getppid()
@snakepit.tool
def end(code): os._exit(code)
)";
    [[nodiscard]] pool_options noting_and(const std::string& text, int workers = 1) {
        auto how = module_of(noting + text);
        how.workers.min = workers;
        how.restart_backoff.first = 1ms;
        how.restart_backoff.longest = 5ms;
        return how;
    }
    /// Numbers of processes, as note() wrote them.
    [[nodiscard]] std::multiset<int> noted(const std::string& file) const {
        std::ifstream in(scratch().path() / file);
        std::multiset<int> all;
        for (int pid = 0; in >> pid;) all.insert(pid);
        return all;
    }
    static std::multiset<int> pids(const pool& p) {
        std::multiset<int> all;
        for (const auto& w : p.stats().workers) all.insert(w.pid);
        return all;
    }
    static bool all_ready(const pool& p) {
        const auto workers = p.stats().workers;
        return std::all_of(workers.begin(), workers.end(),
                           [](const worker_stats& w) { return w.state == worker_state::ready; });
    }
    /// What each worker answers: calls that are made together go to different ones.
    static awaitable<std::vector<value>> ask_each(pool& p, std::string tool) {
        std::vector<value> said;
        const auto all = p.stats().workers.size();
        for (std::size_t i = 0; i < all; ++i)
            async_execute(p, tool, value::array(), call_options(), [&said](const result<value>& r) {
                EXPECT_OK(r);
                said.push_back(r.value_or(nullptr));
            });
        const std::function<bool()> complete = [&] { return said.size() == all; };
        EXPECT_TRUE(co_await comes_true(complete, 20s * slow));
        co_return said;
    }
    static awaitable<int> launcher_of(pool& p) {
        const auto nothing = value::array();
        const auto parent = co_await p.execute("parent", nothing);
        co_return parent ? parent->get<int>() : 0;
    }
    static awaitable<int> zygote_of(pool& p) {
        const auto workers = pids(p);
        for (const auto& child : children_of(co_await launcher_of(p)))
            if (!workers.contains(child.pid)) co_return child.pid;
        co_return 0;
    }
    /// That there is no such process any more, not even a zombie.
    static bool is_reaped(int pid) { return !fs::exists("/proc/" + std::to_string(pid)); }
};

TEST_F(StartMethods, ForkIsTheDefaultAndImportsOnceForAllWorkers) {
    with_pool(noting_and("note('imports')\n", 4), [this](pool& p) -> awaitable<> {
        EXPECT_EQ(noted("imports").size(), 1u);
        EXPECT_EQ(p.stats().start_method, start_method::fork);
        EXPECT_EQ(p.stats().start_method_reason, "");
        const auto own = pids(p);
        EXPECT_EQ(std::set<int>(own.begin(), own.end()).size(), 4u);
        EXPECT_EQ(noted("imports").count(co_await zygote_of(p)), 1u) << "in the zygote";
        for (const auto& parent : co_await ask_each(p, "parent")) EXPECT_EQ(parent, co_await launcher_of(p));
    });
}

TEST_F(StartMethods, SpawnImportsInEachWorker) {
    auto how = noting_and("note('imports')\n@snakepit.after_fork\ndef hook(): note('hooks')\n", 3);
    how.start_method = start_method::spawn;
    with_pool(how, [this](pool& p) -> awaitable<> {
        EXPECT_EQ(noted("imports"), pids(p));
        EXPECT_TRUE(noted("hooks").empty());
        EXPECT_EQ(p.stats().start_method, start_method::spawn);
        EXPECT_EQ(p.stats().start_method_reason, "pool_options::start_method is spawn");
        EXPECT_EQ(co_await zygote_of(p), 0);
    });
}

TEST_F(StartMethods, ForkedWorkersDrawDifferentNumbers) {
    with_pool(noting_and(R"(
import random, numpy
random.seed(1)
numpy.random.seed(1)
@snakepit.tool
def draw(): return [random.random(), float(numpy.random.random())]
)",
                         3),
              [](pool& p) -> awaitable<> {
                  std::set<value> plain;
                  std::set<value> numpy;
                  for (const auto& drawn : co_await ask_each(p, "draw")) {
                      plain.insert(drawn.at(0));
                      numpy.insert(drawn.at(1));
                  }
                  EXPECT_EQ(plain.size(), 3u);
                  EXPECT_EQ(numpy.size(), 3u);
              });
}

TEST_F(StartMethods, HooksRunOnceInEachWorkerBeforeSetup) {
    with_pool(noting_and(R"(
@snakepit.after_fork
def hook(): note('hooks')
class A(snakepit.Adapter):
    def setup(self): self.before = open(os.environ['SNAKEPIT_TEST_SCRATCH'] + '/hooks').read().split()
    @snakepit.tool
    def hook_was_first(self): return str(os.getpid()) in self.before
)",
                         3),
              [this](pool& p) -> awaitable<> {
                  EXPECT_EQ(noted("hooks"), pids(p));
                  for (const auto& first : co_await ask_each(p, "hook_was_first")) EXPECT_EQ(first, true);
                  const auto code = list(0);
                  EXPECT_TRUE(failed_with(co_await p.execute("end", code), errc::worker_lost));
                  CO_ASSERT(co_await comes_true([&] { return noted("hooks").size() == 4; }));
                  for (const int pid : pids(p)) EXPECT_EQ(noted("hooks").count(pid), 1u);
              });
}

TEST_F(StartMethods, AHookThatFailsIsTheWorkersFailure) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), noting_and("@snakepit.after_fork\ndef hook(): raise OSError('no license')\n"));
        EXPECT_TRUE(failed_saying(co_await p.start(), errc::module_failed, "after_fork", "OSError", "no license"));
        pool q(io->get_executor(), noting_and("@snakepit.after_fork\ndef hook(): os._exit(7)\n"));
        const auto up = co_await q.start();
        EXPECT_TRUE(failed_saying(up, errc::module_failed, "exit code 7")) << "though it died at once";
    });
}

TEST_F(StartMethods, ExitHandlersRunOncePerWorkerAndNowhereElse) {
    std::multiset<int> workers;
    with_pool(noting_and("import atexit\natexit.register(note, 'exits')\n", 3), [&](pool& p) -> awaitable<> {
        workers = pids(p);
        co_return;
    });
    EXPECT_EQ(noted("exits"), workers);
}

TEST_F(StartMethods, AModuleThatLeavesAThreadIsSpawned) {
    with_pool(noting_and("import threading\n"
                         "threading.Thread(target=threading.Event().wait, daemon=True, name='poller').start()\n"
                         "note('imports')\n",
                         2),
              [this](pool& p) -> awaitable<> {
                  EXPECT_EQ(p.stats().start_method, start_method::spawn);
                  const auto why = p.stats().start_method_reason;
                  for (const auto* word : {"2 threads", "poller", "OPENBLAS_NUM_THREADS"})
                      EXPECT_NE(why.find(word), why.npos) << why;
                  EXPECT_EQ(noted("imports").size(), 3u) << "once in vain";
                  EXPECT_EQ(co_await zygote_of(p), 0);
                  const auto code = list(0);
                  EXPECT_TRUE(failed_with(co_await p.execute("end", code), errc::worker_lost));
                  CO_ASSERT(co_await comes_true([&] { return all_ready(p); }));
                  EXPECT_EQ(noted("imports").size(), 4u) << "it is not tried again";
              });
}

TEST_F(StartMethods, ThreadsThatEndAtAForkDoNotMatter) {
    // As OpenBLAS does it.
    with_pool(noting_and(R"(
import _thread
stop, over = _thread.allocate_lock(), _thread.allocate_lock()
stop.acquire(); over.acquire()
def work():
    stop.acquire()
    over.release()
_thread.start_new_thread(work, ())
running = [True]
def end_it():
    if running:
        running.clear()
        stop.release()
        over.acquire()
os.register_at_fork(before=end_it)
)"),
              [](pool& p) -> awaitable<> {
                  EXPECT_EQ(p.stats().start_method, start_method::fork) << p.stats().start_method_reason;
                  co_return;
              });
}

TEST_F(StartMethods, SignalsOfTheModuleHarmNobody) {
    for (const auto* text : {"signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
                             "signal.signal(signal.SIGCHLD, lambda *_: [os.waitpid(-1, os.WNOHANG) for _ in range(3)])",
                             "signal.signal(signal.SIGCHLD, lambda *_: os._exit(9))",
                             "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"}) {
        SCOPED_TRACE(text);
        with_pool(
            noting_and("import signal\n" + std::string(text) + R"(
@snakepit.tool
def signals(): return [repr(signal.getsignal(signal.SIGCHLD)), len(signal.pthread_sigmask(signal.SIG_BLOCK, []))]
@snakepit.tool
def terminate():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    os.kill(os.getpid(), signal.SIGTERM)
)",
                       2),
            [text](pool& p) -> awaitable<> {
                const std::string_view what = text;
                for (const auto& kept : co_await ask_each(p, "signals")) {
                    const auto handler = kept.at(0).get<std::string>();
                    EXPECT_EQ(handler.find("SIG_IGN") != handler.npos, what.find("IGN") != what.npos);
                    EXPECT_EQ(handler.find("lambda") != handler.npos, what.find("lambda") != what.npos);
                    EXPECT_EQ(kept.at(1).get<int>() > 0, what.find("mask") != what.npos);
                }
                const auto nothing = value::array();
                for (int i = 0; i < 3; ++i) {
                    EXPECT_TRUE(failed_saying(co_await p.execute("terminate", nothing), errc::worker_lost, "SIGTERM"));
                    CO_ASSERT(co_await comes_true([&] { return all_ready(p); }));
                }
                EXPECT_EQ(p.stats().start_method, start_method::fork);
            });
    }
}

TEST_F(StartMethods, TheZygotesDeathDisturbsNobody) {
    with_pool(noting_and("note('imports')\n", 3), [this](pool& p) -> awaitable<> {
        const auto zygote = co_await zygote_of(p);
        CO_ASSERT(zygote > 0);
        const auto before = pids(p);
        ::kill(zygote, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return is_reaped(zygote); }));
        for (int i = 0; i < 20; ++i) (void)co_await ask_each(p, "me");
        EXPECT_EQ(pids(p), before);
        const auto code = list(5);
        EXPECT_TRUE(failed_saying(co_await p.execute("end", code), errc::worker_lost, "exit code 5"));
        CO_ASSERT(co_await comes_true([&] { return all_ready(p); }));
        EXPECT_EQ(noted("imports").size(), 2u) << "a new zygote";
        EXPECT_NE(co_await zygote_of(p), 0);
        std::size_t same = 0;
        for (const int pid : pids(p)) same += before.count(pid);
        EXPECT_EQ(same, 2u);
    });
}

TEST_F(StartMethods, AZygoteThatIsStuckIsReplaced) {
    auto how = noting_and("note('imports')\n", 2);
    how.start_timeout = 2s * slow;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto zygote = co_await zygote_of(p);
        ::kill(zygote, SIGSTOP);
        const auto code = list(5);
        EXPECT_TRUE(failed_with(co_await p.execute("end", code), errc::worker_lost));
        CO_ASSERT(co_await comes_true([&] { return noted("imports").size() == 2; }, 10s * slow));
        CO_ASSERT(co_await comes_true([&] { return all_ready(p); }));
        CO_ASSERT(co_await comes_true([&] { return is_reaped(zygote); }));
    });
}

TEST_F(StartMethods, LauncherAndZygoteMayDieTogether) {
    with_pool(noting_and("note('imports')\n", 2), [this](pool& p) -> awaitable<> {
        const auto launcher = co_await launcher_of(p);
        const auto zygote = co_await zygote_of(p);
        ::kill(launcher, SIGKILL);
        CO_ASSERT(co_await comes_true([&] { return !is_alive(launcher); }));
        EXPECT_EQ((co_await ask_each(p, "me")).size(), 2u);
        const auto code = list(5);
        EXPECT_TRUE(failed_with(co_await p.execute("end", code), errc::worker_lost));
        CO_ASSERT(co_await comes_true([&] { return all_ready(p); }));
        CO_ASSERT(
            co_await comes_true([&] { return !is_alive(zygote); }));  // the new launcher could not wait for its workers
        EXPECT_EQ(noted("imports").size(), 2u);
        for (int i = 0; i < 2; ++i) {  // of the two the new one's end is known
            const auto r = co_await p.execute("end", code);
            EXPECT_TRUE(failed_with(r, errc::worker_lost));
            CO_ASSERT(co_await comes_true([&] { return all_ready(p); }));
        }
        EXPECT_TRUE(failed_saying(co_await p.execute("end", code), errc::worker_lost, "exit code 5"));
    });
}

TEST_F(StartMethods, TwoHundredStartsAndKillsLeaveNoZombie) {
    with_pool(
        noting_and("", 8),
        [](pool& p) -> awaitable<> {
            const auto launcher = co_await launcher_of(p);
            std::uint64_t killed = 0;
            while (killed < 200) {
                for (const auto& w : p.stats().workers)
                    if (w.pid != 0) {
                        ::kill(w.pid, SIGKILL);
                        ++killed;
                    }
                co_await wait_for(5ms);
                CO_ASSERT(co_await comes_true([&] { return all_ready(p); }));
            }
            const auto clean = [&] {
                const auto all = children_of(launcher);
                return all.size() == 9 &&
                       std::none_of(all.begin(), all.end(), [](const process_info& c) { return c.state == 'Z'; });
            };
            CO_ASSERT(co_await comes_true(clean, 15s));
            for (const auto& w : p.stats().workers) EXPECT_EQ(w.last_exit, "signal 9 (SIGKILL)") << w.id;
        },
        120s * slow);
}

TEST_F(StartMethods, WhatIsSaidDuringTheImportIsNotSaidAgain) {
    auto how = noting_and(R"(
import sys
sys.stdout.write('half a line')
@snakepit.tool
def say_and_end():
    print('a whole one', flush=True)
    os._exit(3)
)");
    how.environment["PYTHONUNBUFFERED"] = "";
    with_pool(how, [](pool& p) -> awaitable<> {
        const auto nothing = value::array();
        const auto lost = co_await p.execute("say_and_end", nothing);
        CO_ASSERT(!lost && lost.error().exit());
        EXPECT_EQ(lost.error().exit()->output_tail, "a whole one");
    });
}

TEST_F(StartMethods, OutputThatTheModuleTurnsElsewhereStaysThere) {
    with_pool(noting_and(R"(
log = os.open(os.environ['SNAKEPIT_TEST_SCRATCH'] + '/log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(log, 1)
@snakepit.tool
def say(): print('said', os.getpid(), flush=True)
)",
                         2),
              [this](pool& p) -> awaitable<> {
                  (void)co_await ask_each(p, "say");
                  EXPECT_EQ(line_count(scratch().path() / "log"), 2u);
              });
}

TEST_F(StartMethods, ProgramsThatToolsStartHaveTheUsersEnvironment) {
    for (const auto method : {start_method::fork, start_method::spawn}) {
        auto how = noting_and(R"(
import subprocess
@snakepit.tool
def env():
    names = ('GRPC_POLL_STRATEGY', 'GRPC_ENABLE_FORK_SUPPORT')
    return [l for l in subprocess.check_output(['env'], text=True).split() if l.startswith(names)]
)");
        how.start_method = method;
        with_pool(how, [](pool& p) -> awaitable<> { EXPECT_EQ((co_await ask_each(p, "env"))[0], value::array()); });
        how.environment["GRPC_POLL_STRATEGY"] = "epoll1";
        with_pool(how, [](pool& p) -> awaitable<> {
            EXPECT_EQ((co_await ask_each(p, "env"))[0], list("GRPC_POLL_STRATEGY=epoll1"));
        });
    }
}

TEST_F(StartMethods, StoppingDoesNotWaitForTheImport) {
    run([&]() -> awaitable<> {
        pool p(io->get_executor(), noting_and("import time\nnote('imports')\ntime.sleep(600)\n"));
        std::optional<result<void>> up;
        async_start(p, [&](result<void> r) { up = std::move(r); });
        CO_ASSERT(co_await comes_true([&] { return !noted("imports").empty(); }));
        const auto before = clock::now();
        CO_ASSERT_OK(co_await p.stop());
        EXPECT_LT(clock::now() - before, 1s * slow);
        CO_ASSERT(co_await comes_true([&] { return up.has_value(); }));
        EXPECT_TRUE(failed_with(*up, errc::pool_stopped));
    });
}

/// Where workers come from, without a pool around it.
class Source : public StartMethods {
protected:
    void SetUp() override {
        StartMethods::SetUp();
        const auto how = options("versioned");
        source_ = std::make_shared<detail::worker_source>(
            asio::make_strand(io->get_executor()), detail::launcher::config{how.python, how.environment, 20s * slow},
            detail::zygote::config{how.module, how.python_path, 20s * slow, false, {"process"}}, start_method::fork);
    }
    void TearDown() override {
        source_.reset();
        StartMethods::TearDown();
    }
    void write_module(const std::string& text) const { scratch().write("versioned.py", std::string(noting) + text); }
    template <class T>
    awaitable<T> on_source(awaitable<T> what) {
        co_return co_await asio::co_spawn(source_->on(), std::move(what), asio::use_awaitable);
    }
    /// Has a worker made and killed. @return  how it ended
    awaitable<std::optional<int>> make_and_end_one() {
        auto born = detail::prepare_birth(SOCK_STREAM);
        auto ended = std::make_shared<std::optional<std::optional<int>>>();
        detail::launcher::on_exit tell = [ended](std::optional<int> status) { *ended = status; };
        auto made = detail::worker_source::make(source_, std::move(born->child), std::move(tell));
        const auto process = co_await on_source(std::move(made));
        EXPECT_OK(process);
        if (!process) co_return std::nullopt;
        const std::string go =
            R"({"address":"unix:/none","worker":"w0","incarnation":1,"token":"00","module":"versioned"})"
            "\n";
        (void)!::write(born->launch.get(), go.data(), go.size());
        const std::function<bool()> over = [ended] { return ended->has_value(); };
        EXPECT_TRUE(co_await comes_true(over, 20s * slow));
        co_return ended->value_or(std::nullopt);
    }
    std::shared_ptr<detail::worker_source> source_;
};

TEST_F(Source, ANewZygoteTakesOverWhenItIsReadyAndTheOldOneStaysOtherwise) {
    run([&]() -> awaitable<> {
        constexpr auto code = [](std::optional<int> status) { return status ? WEXITSTATUS(*status) : -1; };
        write_module("@snakepit.after_fork\ndef hook(): os._exit(11)\n");
        CO_ASSERT_OK(co_await on_source(detail::worker_source::start(source_)));
        EXPECT_EQ(code(co_await make_and_end_one()), 11);

        write_module("raise RuntimeError('half an edit')\n");
        const auto failed = co_await on_source(detail::worker_source::renew(source_));
        EXPECT_TRUE(failed_saying(failed, errc::module_failed, "RuntimeError", "half an edit"));
        EXPECT_EQ(code(co_await make_and_end_one()), 11) << "the old code, still in use";

        write_module("@snakepit.after_fork\ndef hook(): os._exit(222 - 200)  # longer, for the cache of bytecode\n");
        CO_ASSERT_OK(co_await on_source(detail::worker_source::renew(source_)));
        EXPECT_EQ(code(co_await make_and_end_one()), 22);

        write_module("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n");
        CO_ASSERT_OK(co_await on_source(detail::worker_source::renew(source_)));
        EXPECT_EQ(source_->method().first, start_method::spawn);
        co_await asio::co_spawn(source_->on(), detail::worker_source::end(source_), asio::use_awaitable);
    });
}

}  // namespace
}  // namespace snakepit::test
