/*
 * coroutines: C++20's, with an allocation in each: for differential.c. Their frames lie in the heap; what is on the
 * stack is who resumed them: nested generators, tasks that hand over to each other by a tail call (symmetric transfer),
 * coroutines resumed on another thread than the one that began them, exceptions thrown through them and caught.
 *
 *   coroutines [ROUNDS]    prints the sums it made; ends 0
 */
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

__attribute__((noinline)) unsigned long allocate(unsigned long n)
{
	std::vector<std::string> words;
	for (unsigned i = 0; i < 3; i++)
		words.push_back(std::string(40 + n % 50, 'x'));
	return words.size() + words[0].size();
}

/* ---- a generator ---- */

struct generator {
	struct promise_type {
		unsigned long value = 0;
		std::exception_ptr thrown;
		generator get_return_object() { return generator{handle::from_promise(*this)}; }
		std::suspend_always initial_suspend() noexcept { return {}; }
		std::suspend_always final_suspend() noexcept { return {}; }
		std::suspend_always yield_value(unsigned long v) { value = v; return {}; }
		void return_void() {}
		void unhandled_exception() { thrown = std::current_exception(); }
	};
	using handle = std::coroutine_handle<promise_type>;
	explicit generator(handle own) : h(own) {}
	generator(generator &&other) noexcept : h(std::exchange(other.h, {})) {}
	~generator() { if (h) h.destroy(); }
	bool next()
	{
		h.resume();
		if (h.promise().thrown)
			std::rethrow_exception(h.promise().thrown);
		return !h.done();
	}
	unsigned long value() const { return h.promise().value; }
	handle h;
};

generator count_down(unsigned depth, unsigned n)
{
	if (depth) {
		generator inner = count_down(depth - 1, n);
		while (inner.next())
			co_yield inner.value() + allocate(depth) % 2;
	} else {
		for (unsigned i = n; i > 0; i--)
			co_yield i + allocate(i) % 2;
	}
}

generator failing(unsigned depth)
{
	allocate(depth);
	if (depth == 0)
		throw std::runtime_error("as asked");
	generator inner = failing(depth - 1);
	while (inner.next())
		co_yield inner.value();
}

/* ---- tasks that hand over by tail calls ---- */

struct task {
	struct promise_type {
		std::coroutine_handle<> waiting = std::noop_coroutine();
		unsigned long result = 0;
		task get_return_object() { return task{handle::from_promise(*this)}; }
		std::suspend_always initial_suspend() noexcept { return {}; }
		struct hand_back {
			bool await_ready() noexcept { return false; }
			std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept
			{
				return h.promise().waiting;
			}
			void await_resume() noexcept {}
		};
		hand_back final_suspend() noexcept { return {}; }
		void return_value(unsigned long v) { result = v; }
		void unhandled_exception() { std::terminate(); }
	};
	using handle = std::coroutine_handle<promise_type>;
	explicit task(handle own) : h(own) {}
	task(task &&other) noexcept : h(std::exchange(other.h, {})) {}
	~task() { if (h) h.destroy(); }
	bool await_ready() { return false; }
	std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller)
	{
		h.promise().waiting = caller;
		return h;
	}
	unsigned long await_resume() { return h.promise().result; }
	handle h;
};

task sum(unsigned depth)
{
	unsigned long own = allocate(depth);
	if (depth)
		own += co_await sum(depth - 1);
	own += allocate(depth + 1);
	co_return own;
}

/* ---- resumed elsewhere ---- */

struct elsewhere {
	std::vector<std::thread> &threads;
	bool await_ready() { return false; }
	void await_suspend(std::coroutine_handle<> h)
	{
		allocate(1);
		threads.emplace_back([h] { allocate(2); h.resume(); });
	}
	void await_resume() {}
};

struct detached {
	struct promise_type {
		detached get_return_object() { return {}; }
		std::suspend_never initial_suspend() noexcept { return {}; }
		std::suspend_never final_suspend() noexcept { return {}; }
		void return_void() {}
		void unhandled_exception() { std::terminate(); }
	};
};

detached wander(std::vector<std::thread> &threads, unsigned long &total)
{
	total += allocate(3);
	co_await elsewhere{threads};
	total += allocate(4);
}

} // namespace

int main(int count, char **arguments)
{
	int rounds = count > 1 ? std::atoi(arguments[1]) : 20;
	unsigned long total = 0, caught = 0;
	for (int i = 0; i < rounds; i++) {
		generator g = count_down(static_cast<unsigned>(i) % 30, 5);
		while (g.next())
			total += g.value();
		try {
			generator f = failing(static_cast<unsigned>(i) % 12);
			while (f.next())
				total++;
		} catch (const std::exception &e) {
			caught += std::string(e.what()).size();
		}
		task t = sum(static_cast<unsigned>(i) % 40);
		t.h.resume();
		total += t.await_resume();
		std::vector<std::thread> threads;
		threads.reserve(1);
		wander(threads, total);
		for (std::thread &thread : threads)
			thread.join();
	}
	std::printf("%lu %lu\n", total, caught);
	return 0;
}
