// Shared by the clients in Node. Prints one line per check, which run.sh counts.

export async function check(name, run) {
  try {
    await Promise.race([run(), timeLimit()]);
    console.log(`ok ${name}`);
  } catch (error) {
    console.error(error);
    console.log(`failed ${name}: ${String(error.message).split("\n")[0]}`);
  }
}

function timeLimit() {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error("it took more than 20 s")), 20_000).unref();
  });
}
