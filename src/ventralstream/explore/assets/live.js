// The live page: asks the server for new traces.

export class Live {
  constructor(app, options) {
    Object.assign(this, { app, options });
  }
}
