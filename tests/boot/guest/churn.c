/*
 * Runs inside a Debian guest: makes an emulator forget and learn code all the time, and checks every result.
 *
 *     churn SECONDS
 *
 * Rounds of: functions made up on the spot, in memory that held other functions before (their results are known);
 * processes (a pipeline of several programs with a known checksum); kernel modules, loaded and unloaded.
 * A line a round: "churn: round R instructions I processes P modules M"; at the end "churn: done ..." or,
 * at the first wrong result, "churn: WRONG ...".
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARENA (8u << 20)     /* bytes: what functions are made in */
#define FUNCTIONS 1024       /* a round */
#define LENGTH 120           /* instructions of a function: more than one block */

static uint64_t random_state;
static uint64_t instructions, processes, modules;

static uint64_t random64(void) /* xorshift */
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

static void wrong(const char *what, uint64_t got, uint64_t expected)
{
	printf("churn: WRONG %s: %016llx, expected %016llx\n", what, (unsigned long long)got,
	       (unsigned long long)expected);
	exit(1);
}

/* One function of x0 at `at`; gives its result for `x`.  x1 is scratch. */
static uint64_t make_function(uint32_t *at, uint64_t x)
{
	for (int k = 0; k < LENGTH; k++) {
		uint64_t r = random64();
		uint32_t imm16 = r & 0xffff, imm12 = r & 0xfff, shift = r >> 20 & 63;

		switch (r >> 32 & 7) {
		case 0: /* movz x1, #imm16, lsl #16; then used by the next case */
			at[k++] = 0xd2a00001 | imm16 << 5;
			at[k] = 0xca010000; /* eor x0, x0, x1 */
			x ^= (uint64_t)imm16 << 16;
			break;
		case 1: /* add x0, x0, #imm12 */
			at[k] = 0x91000000 | imm12 << 10;
			x += imm12;
			break;
		case 2: /* sub x0, x0, #imm12, lsl #12 */
			at[k] = 0xd1400000 | imm12 << 10;
			x -= (uint64_t)imm12 << 12;
			break;
		case 3: /* ror x0, x0, #shift */
			at[k] = 0x93c00000 | shift << 10;
			x = shift ? x >> shift | x << (64 - shift) : x;
			break;
		case 4: /* movk x0, #imm16, lsl #48 */
			at[k] = 0xf2e00000 | imm16 << 5;
			x = (x & 0xffffffffffffull) | (uint64_t)imm16 << 48;
			break;
		case 5: /* eor x0, x0, x0, lsr #shift */
			at[k] = 0xca400000 | shift << 10;
			x ^= x >> shift;
			break;
		case 6: /* madd x0, x0, x0, x0 */
			at[k] = 0x9b000000;
			x += x * x;
			break;
		default: /* cbnz xzr, somewhere: never taken; rev x0, x0 */
			at[k++] = 0xb500001f | (imm12 & 0x7ff) << 5;
			at[k] = 0xdac00c00;
			x = __builtin_bswap64(x);
			break;
		}
	}
	at[LENGTH + 1] = 0xd65f03c0; /* ret; the loop above may have gone one too far */
	at[LENGTH] = at[LENGTH] ? at[LENGTH] : 0xd503201f;
	return x;
}

static void jit_round(char *arena)
{
	static uint32_t position;

	for (int k = 0; k < FUNCTIONS; k++) {
		const uint32_t bytes = 4 * (LENGTH + 2);
		uint32_t *code;
		uint64_t x = random64(), expected, got;

		if (position + bytes > ARENA)
			position = 0;
		code = (uint32_t *)(arena + position);
		position += (bytes + 63) & ~63u;
		memset(code, 0, bytes);
		expected = make_function(code, x);
		__builtin___clear_cache((char *)code, (char *)code + bytes);
		got = ((uint64_t(*)(uint64_t))code)(x);
		if (got != expected)
			wrong("function", got, expected);
		if (((uint64_t(*)(uint64_t))code)(x) != expected)
			wrong("function, second call", got, expected);
		instructions += LENGTH;
	}
}

/* The command's first line of output must be `expected`. */
static void process(const char *command, const char *expected, int count)
{
	char line[200] = "";
	FILE *pipe = popen(command, "r");

	if (!pipe || !fgets(line, sizeof line, pipe) || pclose(pipe) != 0 || strncmp(line, expected, strlen(expected))) {
		printf("churn: WRONG %s: %s, expected %s\n", command, line, expected);
		exit(1);
	}
	processes += count;
}

static void module(const char *name)
{
	char command[200];

	snprintf(command, sizeof command, "/sbin/modprobe %s && /sbin/modprobe -r %s", name, name);
	if (system(command) != 0) {
		printf("churn: WRONG %s\n", command);
		exit(1);
	}
	modules++;
	processes += 3;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "crc7",      "crc64", "dummy",        "xor",
					     "lru_cache", "bch",   "reed_solomon", "crc-itu-t" };
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 60);
	char *arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned round = 0;

	if (arena == MAP_FAILED) {
		perror("churn: mmap");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (; time(NULL) < end; round++) {
		/* the same numbers in every run, others in every round */
		random_state = 0x9e3779b97f4a7c15ull * (round + 1);
		jit_round(arena);
		process("seq 1 20000 | sha256sum", "f6351f5ead9a700e", 3);
		process("seq 1 5000 | gzip -9 | gunzip | md5sum", "a5a208cd26b07cad", 5);
		if (round % 8 == 0)
			process("python3 -c 'print(sum(k * k for k in range(5000)))'", "41654167500", 2);
		module(names[round % (sizeof names / sizeof *names)]);
		printf("churn: round %u instructions %llu processes %llu modules %llu\n", round,
		       (unsigned long long)instructions, (unsigned long long)processes, (unsigned long long)modules);
	}
	printf("churn: done rounds %u instructions %llu processes %llu modules %llu\n", round,
	       (unsigned long long)instructions, (unsigned long long)processes, (unsigned long long)modules);
	return 0;
}
