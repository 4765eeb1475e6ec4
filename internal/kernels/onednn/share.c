//go:build onednn

// Threads that share one kernel, for the time in which a batch is too small to
// give every executor a shard: the rows, columns or heads of a kernel are dealt out, and
// what each thread computes does not depend on how many there are.

#include "thread.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#if defined(__x86_64__)
#include <immintrin.h>
#define PAUSE() _mm_pause()
#else
#define PAUSE() ((void)0)
#endif

enum {
	MOST = 64,    // threads
	SPINS = 2000, // before a helper that finds nothing to do goes to sleep
	WAITS = 10000 // before the caller lets others run
};

static struct {
	pthread_mutex_t caller; // one kernel at a time
	pthread_mutex_t lock;
	pthread_cond_t wake;
	int helpers; // that were started
	atomic_int sleepers;
	atomic_uint round;
	atomic_int left;
	vl_task task;
	void *arg;
	int parts;
} team = {.caller = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static __thread int threads = 1;

void vl_share(int n) { threads = n < 1 ? 1 : n > MOST ? MOST : n; }

int vl_shares(void) { return threads; }

// What a helper starts from: its part and the last round before it came.
static void *help(void *from) {
	int part = (int)((size_t)from & 0xff);
	unsigned seen = (unsigned)((size_t)from >> 8);
	for (;;) {
		for (int i = 0; i < SPINS && atomic_load(&team.round) == seen; i++) PAUSE();
		if (atomic_load(&team.round) == seen) {
			pthread_mutex_lock(&team.lock);
			atomic_fetch_add(&team.sleepers, 1);
			while (atomic_load(&team.round) == seen) pthread_cond_wait(&team.wake, &team.lock);
			atomic_fetch_sub(&team.sleepers, 1);
			pthread_mutex_unlock(&team.lock);
		}
		seen = atomic_load(&team.round);
		// The next round waits until every helper is through with this one.
		if (part < team.parts) team.task(team.arg, part, team.parts);
		atomic_fetch_sub(&team.left, 1);
	}
	return NULL;
}

static void start(int helpers) {
	while (team.helpers < helpers) {
		pthread_t t;
		size_t from = (size_t)atomic_load(&team.round) << 8 | (size_t)(team.helpers + 1);
		if (pthread_create(&t, NULL, help, (void *)from)) return;
		pthread_detach(t);
		team.helpers++;
	}
}

void vl_deal(vl_task task, void *arg) {
	if (threads == 1 || pthread_mutex_trylock(&team.caller)) {
		task(arg, 0, 1);
		return;
	}
	start(threads - 1);
	team.task = task, team.arg = arg;
	team.parts = threads <= team.helpers ? threads : team.helpers + 1;
	atomic_store(&team.left, team.helpers);
	atomic_fetch_add(&team.round, 1);
	if (atomic_load(&team.sleepers)) {
		pthread_mutex_lock(&team.lock);
		pthread_cond_broadcast(&team.wake);
		pthread_mutex_unlock(&team.lock);
	}
	task(arg, 0, team.parts);
	for (int i = 0; atomic_load(&team.left); i++)
		if (i > WAITS) sched_yield();
		else PAUSE();
	pthread_mutex_unlock(&team.caller);
}
