import { endpointOf } from '../args';

describe('the endpoint that a command is about', () => {
  it('is on this machine where an old layout or a script names no target', () => {
    expect(endpointOf({ name: 'a' })).toEqual({ name: 'a', namespace: 'default', target: 'local' });
    expect(endpointOf({ name: 'a', namespace: 'team', target: '' })).toEqual({
      name: 'a',
      namespace: 'team',
      target: 'local'
    });
  });

  it('is what the arguments say, and none where they name none', () => {
    const key = { name: 'a', namespace: 'team', target: 'kserve' };
    expect(endpointOf(key)).toEqual(key);
    expect(endpointOf({ target: 'kserve' })).toBeNull();
    expect(endpointOf({ name: 3 })).toBeNull();
  });
});
